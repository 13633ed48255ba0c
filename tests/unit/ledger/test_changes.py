"""A change on the same material terms: the consent before holds on, as it stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from admission import FIRST, digest, refused
from sqlalchemy import select
from test_consents import permitted, states

from governance.ledger import queries, schema
from governance.ledger.reading import standing_at


def acknowledge(federation, site="amc", **changes):
    body = {
        "agreement": digest("second"),
        "material": digest("first"),
        "former": digest("first"),
        "class": "editorial",
        **changes,
    }
    return federation.agent(site, "change-acknowledged", body)


def succeed(federation, agreement="second", before="first", material="first"):
    federation.propose(agreement, material=material)
    federation.moved("superseded", before, material="first")
    federation.moved("in-force", agreement, material=material)


@pytest.fixture
def changed(agreed):
    succeed(agreed)
    return agreed


def test_an_acknowledged_change_carries_the_consent_over_with_its_terms(changed):
    acknowledge(changed)
    assert states(changed)["amc"] == "superseded"
    assert states(changed, "second") == {"amc": "in-force"}
    table = schema.consents
    first, second = changed.connection.execute(
        select(table).where(table.c.site == "amc").order_by(table.c.given_seq)
    ).all()
    assert (second.cap, second.until, second.cohort) == (first.cap, first.until, first.cohort)
    assert second.signed_seq == first.signed_seq == first.given_seq
    held = standing_at(changed.connection, changed.now).consents["amc", digest("second")]
    assert (held.state.value, held.signed_seq) == ("in-force", first.given_seq)


def test_an_auditor_still_sees_the_officer_who_signed(changed):
    acknowledge(changed)
    answer = queries.consents_at(changed.connection, now=changed.now, site="amc")
    told = answer.named()
    assert {(row["state"], row["officer"]) for row in told} == {
        ("superseded", "A. Person"),
        ("in-force", "A. Person"),
    }


@pytest.mark.parametrize(
    ("kind", "state"), [("consent-suspended", "paused"), ("consent-objected", "objected")]
)
def test_a_suspended_consent_is_carried_over_suspended(agreed, kind, state):
    agreed.agent("amc", kind, FIRST)
    succeed(agreed)
    acknowledge(agreed)
    assert states(agreed, "second") == {"amc": state}
    assert permitted(agreed, "second") == ["ucl"]
    second = {"agreement": digest("second"), "material": digest("first")}
    agreed.officer("amc", "consent-resumed", second)
    assert permitted(agreed, "second") == ["amc", "ucl"]


def test_nothing_is_acknowledged_before_it_is_in_force(agreed):
    agreed.propose("second", material="first")
    refused("agreement-state", acknowledge, agreed)


def test_nothing_is_acknowledged_after_an_agreement_that_came_to_its_end(agreed):
    agreed.propose("second", material="first")
    agreed.moved("complete", "first")
    agreed.moved("in-force", "second", material="first")
    refused("agreement-state", acknowledge, agreed)


def test_a_material_change_is_never_acknowledged(agreed):
    succeed(agreed, material="other")
    refused("material-differs", acknowledge, agreed, material=digest("other"))
    refused("material-differs", acknowledge, agreed)


def test_a_withdrawn_consent_does_not_come_back_by_a_change(agreed):
    agreed.agent("amc", "consent-withdrawn", FIRST)
    succeed(agreed)
    refused("no-consent", acknowledge, agreed)


def test_a_consent_whose_time_is_over_is_not_carried_over(changed):
    changed.now += timedelta(days=400)
    refused("no-consent", acknowledge, changed)


def test_a_site_that_answered_the_change_itself_is_held_to_its_word(agreed):
    agreed.propose("second", material="first")
    agreed.consent("amc", "second", material="first")
    agreed.moved("superseded", "first")
    agreed.moved("in-force", "second", material="first")
    refused("answered-before", acknowledge, agreed)
    acknowledge(agreed, "ucl")
    refused("answered-before", acknowledge, agreed, "ucl")


def test_a_change_after_a_change_is_acknowledged_from_wherever_the_consent_is(changed):
    succeed(changed, "third", before="second")
    acknowledge(changed, agreement=digest("third"))
    assert permitted(changed, "third") == ["amc", "ucl"]
    assert states(changed, "third") == {"amc": "in-force"}
