"""The table of kinds: complete, strict, and without a place for free text."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from governance.ledger import fields
from governance.ledger.fields import Field
from governance.ledger.kind import Carrier, Kind, Usage
from governance.ledger.kinds import KINDS, check_form
from protos import words, words_operator
from protos.errors import Refused

CARRIERS = {
    Carrier.SESSION: words.StatementSent,
    Carrier.UPLOAD: words.UploadHeader,
    Carrier.ENROLMENT: words.EnrolRequest,
    Carrier.OPERATOR: words_operator.OperatorAct,
    Carrier.OWN: None,
}
NAMED = {
    "enrolled",
    "certificate-issued",
    "software-started",
    "operator-acted",
    "revoked",
    "key-rotated",
    "agreement-proposed",
    "agreement-proposal-withdrawn",
    "agreement-in-force",
    "agreement-superseded",
    "agreement-complete",
    "consent-given",
    "consent-declined",
    "consent-suspended",
    "consent-withdrawn",
    "consent-resumed",
    "data-declared",
    "opt-outs-applied",
    "change-acknowledged",
    "budget-reserved",
    "round-opened",
    "contribution-made",
    "contribution-refused",
    "task-refused",
    "evaluation-made",
    "candidate-rejected",
    "round-closed",
    "round-abandoned",
    "updates-deleted",
    "release-published",
    "release-given",
    "release-recalled",
    "release-settled",
    "release-fetched",
    "log-recovered",
    "privacy-audited",
    "statistics-released",
    "statistics-combined",
}


def missing(kind: Kind) -> list[str]:
    """Name the columns that a kind lacks."""
    lacks = {
        "signer": not kind.signer or not all(isinstance(one, Usage) for one in kind.signer),
        "carried_by": kind.carried_by not in CARRIERS,
        "fields": not kind.fields
        or not all(isinstance(field, Field) for field in kind.fields.values()),
        "projection": not callable(kind.projection)
        or list(inspect.signature(kind.projection).parameters.values()) == [],
    }
    return [column for column, lack in lacks.items() if lack]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_signer_carrier_fields_and_projection(name):
    assert missing(KINDS[name]) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("signer", frozenset()), ("carried_by", None), ("fields", {}), ("projection", None)],
)
def test_a_kind_without_any_of_them_is_noticed(column, value):
    assert missing(dataclasses.replace(KINDS["round-opened"], **{column: value})) == [column]


def test_every_kind_of_the_design_that_can_be_produced_is_there():
    assert set(KINDS) >= NAMED


def test_every_carrier_is_a_message_or_the_coordinator_itself():
    assert set(CARRIERS) == set(Carrier)
    for message in filter(None, CARRIERS.values()):
        fields = {field.name for field in dataclasses.fields(message)}
        assert fields & {"envelope", "statement"}


def test_nobody_but_an_officer_can_permit_anything():
    for name in ("consent-given", "consent-resumed"):
        assert KINDS[name].signer == {Usage.OFFICER}
        assert KINDS[name].by_officers


def test_leaving_is_as_easy_as_either_key():
    for name in ("consent-suspended", "consent-withdrawn", "consent-objected"):
        assert KINDS[name].signer == {Usage.AGENT, Usage.OFFICER}


def test_the_coordinator_signs_nothing_in_a_hospitals_name():
    for name, kind in KINDS.items():
        if Usage.LEDGER in kind.signer and kind.signer - {Usage.LEDGER}:
            assert name in {"enrolled", "software-started", "key-rotated", "release-settled"}


@pytest.mark.parametrize("name", KINDS)
def test_no_field_takes_free_text_or_another_type(name):
    kind = KINDS[name]
    for field in [*kind.fields.values(), *kind.optional_fields.values()]:
        for value in ("two\nlines", "x" * 9000, -1, 1.5, None, [["a"]], {"a": {"b": 1}}, [""]):
            assert not field.fits(value), (field.what, value)


class Body:
    """As much of a statement as its form depends on."""

    def __init__(self, kind, body, commitments=()):
        self.kind, self.body = kind, body
        self.commitments = dict.fromkeys(commitments, "")


def test_a_body_has_exactly_its_fields(agreed):
    body = agreed.at(1) | {"updates": []}
    assert check_form(Body("updates-deleted", body)) is KINDS["updates-deleted"]
    for wrong in (body | {"note": "x"}, {k: body[k] for k in body if k != "updates"}):
        with pytest.raises(Refused) as refused:
            check_form(Body("updates-deleted", wrong))
        assert refused.value.rule == "bad-body"


def test_an_act_may_say_more_in_labels_and_numbers():
    body = {"act": "invite", "role": "site", "name": "amc", "serials": ["1f"], "many": 3}
    check_form(Body("operator-acted", body))
    for value in ("two\nlines", {"a": 1}, "x" * 201):
        with pytest.raises(Refused):
            check_form(Body("operator-acted", body | {"why": value}))


def test_an_unknown_kind_is_refused():
    with pytest.raises(Refused) as refused:
        check_form(Body("consent-invented", {}))
    assert refused.value.rule == "unknown-kind"


def test_only_known_labels_are_committed_to_and_the_signers_name_must_be(agreed):
    body = agreed.consent_body("first")
    check_form(Body("consent-given", body, ("officer", "role")))
    for labels in ((), ("officer",), ("officer", "role", "diagnosis")):
        with pytest.raises(Refused) as refused:
            check_form(Body("consent-given", body, labels))
        assert refused.value.rule == "bad-disclosure"


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "DECIMAL",
            ["0", "1.25", "1e-05", "1E-7", "inf"],
            ["", "-1", "nan", "1,5", ".5", "1."],
        ),
        ("TENS", [0, 10, 120], [5, -10, "10"]),
        ("COUNT", [0, 7], [-1, "7"]),
        ("NUMBER", [1], [0]),
        ("NAME", ["charite", "a-1"], ["Charite", "a/b", "", "-a"]),
        ("TIME", ["2026-11-21T10:46:00.000000Z"], ["2026-11-21", "2026-11-21T10:46:00Z"]),
        ("SERIAL", ["0", "ff"], ["FF", "", "x"]),
        ("KEY", ["ed25519:" + "ab" * 32], ["x509:" + "ab" * 32, "ed25519:" + "00" * 32, "ab"]),
        ("ANY_KEY", ["x509:" + "ab" * 32], ["rsa:" + "ab" * 32]),
        ("RULE", ["too-few-sites", "gate"], ["", "Too few", "-x"]),
    ],
)
def test_what_fields_hold(field, good, bad):
    checked = getattr(fields, field)
    assert all(checked.fits(value) for value in good)
    assert not any(checked.fits(value) for value in bad)
