"""Whose acts count: the agreement's operators, two of them where it says so."""

from __future__ import annotations

import pytest
from admission import digest

from governance.ledger import operators
from protos.errors import Refused

LATER = {"act": "pause"}


@pytest.fixture
def both(federation):
    """A federation whose agreement is that of two operators; a third one is enrolled too."""
    federation.enrol("operator", "rossi")
    federation.enrol("operator", "third")
    federation.propose("first", operators=("ops", "rossi"), two_for=("revoke", "recall"))
    for site in ("amc", "ucl"):
        federation.consent(site, "first")
    federation.moved("in-force", "first", "amc", "ucl")
    return federation


def revoke(fed, *signers, name="amc"):
    said = {"name": name, "serials": []}
    return fed.say("revoked", said, f"operator/{signers[0]}", *(fed.key(s) for s in signers))


def test_an_operator_of_the_agreement_acts_alone_where_two_are_not_asked_for(both):
    assert both.operator("operator-acted", LATER, "rossi")


def test_an_operator_whom_the_agreement_does_not_name_does_not_act(both, refuses):
    refuses("operator-not-in-agreement", both.operator, "operator-acted", LATER, "third")


def test_one_operator_alone_does_not_act_where_two_must(both, refuses):
    refuses("two-operators", revoke, both, "ops")


def test_two_operators_of_the_agreement_act_where_two_must(both):
    assert revoke(both, "ops", "rossi")


@pytest.mark.parametrize("other", ["third", "ucl officer", "amc agent"])
def test_a_second_signature_that_is_no_operator_of_the_agreement_does_not_count(
    both, refuses, other
):
    refuses("operator-not-in-agreement", revoke, both, "ops", other)


def test_any_enrolled_operator_acts_before_the_first_agreement_takes_force(federation):
    federation.enrol("operator", "third")
    federation.propose("first", operators=("ops",), two_for=())
    assert federation.operator("operator-acted", LATER, "third")


def test_the_operators_of_an_agreement_that_ended_go_on(both, refuses):
    both.moved("complete", "first")
    refuses("operator-not-in-agreement", both.operator, "operator-acted", LATER, "third")
    refuses("two-operators", revoke, both, "ops")


def test_an_agreement_that_takes_force_brings_its_own_operators(both, refuses):
    both.propose("second", operators=("ops", "third"))
    both.consent("amc", "second")
    refuses("operator-not-in-agreement", both.operator, "operator-acted", LATER, "third")
    both.moved("superseded", "first")
    both.moved("in-force", "second", "amc")
    assert both.operator("operator-acted", LATER, "third")
    refuses("operator-not-in-agreement", both.operator, "operator-acted", LATER, "rossi")
    assert operators.binding(both.connection) == digest("second")


def test_an_agreement_whose_proposal_states_no_operators_binds_none(agreed):
    agreed.enrol("operator", "third")
    assert agreed.operator("operator-acted", LATER, "third")


def test_a_settling_by_recall_needs_two_where_a_recall_does(both):
    said = both.settle_body("recall")
    settled = both.statement("release-settled", said, "operator/ops", both.key("ops"))
    keeps = {**said, "decision": "keep"}
    kept = both.statement("release-settled", keeps, "operator/ops", both.key("ops"))
    rule = operators.Operators(frozenset({both.key("ops").key_id}), frozenset({"recall"}))
    with pytest.raises(Refused, check=lambda problem: problem.rule == "two-operators"):
        rule.check(settled)
    rule.check(kept)
