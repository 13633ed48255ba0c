"""How many patients stand behind a consent, and that some are left out, in the tables."""

from __future__ import annotations

import pytest
from admission import FIRST, digest, refused
from sqlalchemy import select

from governance.ledger import query_patients, schema
from governance.ledger.reading import standing_at
from governance.ledger.rebuild import _TABLES


def declared(federation, number, **changes):
    body = {
        **FIRST,
        "cohort": "infarction",
        "declared_patients": number,
        "schema": digest("schema"),
        "expected_batch": "12",
        **changes,
    }
    return federation.agent("amc", "data-declared", body)


def left_out(federation, patients, **changes):
    body = {**FIRST, "cohort": "infarction", "patients": patients, **changes}
    return federation.agent("amc", "opt-outs-applied", body)


def behind(federation, site="amc"):
    table = schema.consents
    return federation.connection.execute(
        select(table.c.declared_patients).where(table.c.site == site)
    ).scalar_one()


def test_a_number_declared_anew_stands_behind_the_consent(agreed):
    declared(agreed, 80)
    assert (behind(agreed), behind(agreed, "ucl")) == (80, 120)
    held = standing_at(agreed.connection, agreed.now).consents["amc", digest("first")]
    assert held.terms.declared_patients == 80


def test_a_number_for_an_ended_consent_changes_nothing(agreed):
    agreed.agent("amc", "consent-withdrawn", FIRST)
    declared(agreed, 80)
    assert behind(agreed) == 120


def test_another_cohort_never_comes_in_under_a_consent(agreed):
    refused("other-cohort", declared, agreed, 80, cohort="strokes")


@pytest.mark.parametrize("patients", [3, 9, 15, -10, "many", "p1", True, None])
def test_so_few_that_they_could_be_known_are_never_counted(agreed, patients):
    from protos.errors import PeerFault, Refused

    with pytest.raises((Refused, PeerFault, TypeError)):
        left_out(agreed, patients)


def test_opt_outs_are_of_an_agreement_that_was_proposed(agreed):
    refused("unknown-agreement", left_out, agreed, "some", agreement=digest("second"))


def test_an_auditor_sees_from_which_round_patients_are_left_out(agreed):
    agreed.open_round(1)
    agreed.reserve("amc", 1)
    agreed.contribute("amc", 1)
    left_out(agreed, "some")
    agreed.abandon(1)
    agreed.open_round(1, 2)
    agreed.reserve("amc", 1, 2)
    left_out(agreed, 20)
    answer = query_patients.patients(agreed.connection, site="amc")
    told = answer.named()
    assert [(row["what"], row["patients"], row["from_round"]) for row in told] == [
        ("left-out", "some", 1),
        ("left-out", "20", None),
    ]


def test_the_numbers_are_made_again_by_a_rebuild():
    assert schema.patient_counts.name in _TABLES
