"""Cover of contributions, histories, settings and acts, worked by hand on the short history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from answers import NOW, received, rows

from governance.ledger import query_acts, query_agreed, query_covered, query_settings, reserved
from protos.errors import Refused

COVERED = query_covered.COVERED


# --- contributions ------------------------------------------------------------------------


def test_each_accepted_contribution_was_covered_at_its_start_and_at_its_acceptance(asked):
    answer = query_covered.contributions_covered(asked)
    told = rows(answer, "state", "at_start", "at_acceptance")
    assert {row for row in told if row[0] == "made"} == {("made", COVERED, COVERED)}
    assert answer.facts["accepted_without_consent"] == 0


def test_a_refused_contribution_is_told_with_its_reason(asked):
    answer = query_covered.contributions_covered(asked, refused=True)
    assert rows(answer, "round", "site", "refusal") == [(1, "usz", "not-finite")]


def test_contributions_of_a_round_and_a_site_are_asked_for_alone(asked):
    answer = query_covered.contributions_covered(asked, site="amc", round_=2)
    # What amc had paid for in the first attempt it sent again in the second.
    paid = {row[0] for row in rows(answer, "reservation_seq")}
    assert rows(answer, "round", "attempt", "site") == [(2, 1, "amc"), (2, 2, "amc")]
    assert len(paid) == 1


def test_a_contribution_accepted_after_a_withdrawal_is_named(ledger, keys):
    made = ledger.seq_of("contribution-made", actor="site/kul", round=2)
    withdrawn = ledger.seq_of("consent-withdrawn")
    moment = query_covered.Moment(withdrawn + 1, "kul", keys.at(1)["agreement"])
    with ledger.reading() as connection:
        before = query_covered.Moment(made, "kul", keys.at(1)["agreement"])
        covers = query_covered.covered_at(connection, [moment, before])
    assert covers[before].said == COVERED
    assert covers[moment].said == "the consent of kul was withdrawn at that moment"
    assert covers[moment].consent_seq is None


# --- agreements and consents --------------------------------------------------------------


def test_agreements_are_told_with_their_purposes_and_who_consents(asked, keys):
    answer = query_agreed.agreements_at(asked, now=NOW)
    first, second = (keys.at(1, 1, name)["agreement"] for name in ("first", "second"))
    columns = ("agreement", "state", "proposed_by", "purposes", "sites", "without_purpose")
    assert rows(answer, *columns) == [
        (first, "superseded", "ops", "DUO:0000006", "", None),
        (second, "in-force", "ops", "DUO:0000006", "amc, ucl", None),
    ]


def test_agreements_are_told_as_they_stood_at_a_time(asked, ledger):
    before = received(ledger, ledger.seq_of("agreement-in-force")) - timedelta(seconds=1)
    answer = query_agreed.agreements_at(asked, now=NOW, at=before)
    assert rows(answer, "state") == [("proposed",)]


def test_a_consent_is_told_from_its_first_step_to_its_last(asked, keys):
    answer = query_agreed.consent_history(asked, site="ucl")
    first, second = (keys.at(1, 1, name)["agreement"] for name in ("first", "second"))
    assert rows(answer, "kind", "state", "agreement") == [
        ("consent-given", "in-force", first),
        ("consent-suspended", "paused", first),
        ("consent-resumed", "in-force", first),
        ("consent-given", "in-force", second),
        ("agreement-in-force", "superseded", first),
    ]
    ((shown, officer), *rest) = rows(answer, "review", "officer")
    assert (len(shown), officer) == (64, "A. Person")
    assert rest[0] == (None, None)


def test_a_revocation_ends_the_history_of_a_sites_consents(asked):
    answer = query_agreed.consent_history(asked, site="usz")
    assert rows(answer, "kind", "state")[-1] == ("revoked", "revoked")


# --- settings and marks -------------------------------------------------------------------


def test_the_settings_of_a_round_are_those_that_each_site_signed(asked):
    answer = query_settings.settings_of(asked, 1)
    columns = ("site", "sampling_rate", "noise_multiplier", "clip", "steps", "loader")
    assert rows(answer, *columns) == [
        (site, "0.1", "1.1", "1", 5, "poisson") for site in ("amc", "kul", "ucl", "usz")
    ]
    assert answer.notes[0].startswith("All hospitals trained with the same settings")


def test_the_settings_of_a_round_say_where_figures_are_not_covered(asked):
    said = "Held-out patients' figures are exact and not covered by ε."
    assert said in query_settings.settings_of(asked, 1).notes
    assert said not in query_settings.settings_of(asked, 2).notes


def test_settings_that_differ_are_named(ledger, keys, speak):
    # ucl states another noise multiplier for a second task of round 4.
    body = keys.reserve_body(4, agreement="second", total="9.0000")
    body |= {"task": "heart/4/9/train", "noise_multiplier": "2"}
    ledger.append(speak("budget-reserved", body, "site/ucl", keys.key("ucl agent")))
    with ledger.reading() as connection:
        answer = query_settings.settings_of(connection, 4)
    assert answer.notes == ("The hospitals differ in noise_multiplier.",)


def test_a_round_that_never_was_has_no_settings(asked):
    with pytest.raises(Refused) as refused:
        query_settings.settings_of(asked, 99)
    assert refused.value.rule == "no-round"


def test_the_rounds_that_passed_a_share_of_the_cap_are_named(ledger):
    ledger.run(("UPDATE consents SET cap = '3'",))
    with ledger.reading() as connection:
        _, parts = reserved.spent_of(connection, "amc")
        marks = query_settings.marks_passed(connection, parts)
    # amc stated 1.93 in round 1, 2.35 in 2, 2.69 and 2.98 in 3, 3.24 in 4; the marks of 3 are
    # 1.5, 2.4 and 3.
    assert [(mark["percent"], mark["round"]) for mark in marks] == [(50, 1), (80, 3), (100, 4)]


# --- acts ---------------------------------------------------------------------------------


def test_acts_are_told_with_who_did_what_and_when(asked, ledger):
    answer = query_acts.acts_done(asked)
    assert rows(answer, "seq", "operator", "act")[0] == (
        ledger.seq_of("operator-acted"),
        "ops",
        "pause",
    )
    assert [row[0] for row in rows(answer, "act")] == ["pause", "propose", "propose", "revoke"]


def test_acts_are_asked_for_between_two_times(asked, ledger):
    revoked = received(ledger, ledger.seq_of("revoked"))
    assert rows(query_acts.acts_done(asked, since=revoked), "act") == [("revoke",)]
    before = query_acts.acts_done(asked, until=revoked)
    assert ("revoke",) not in rows(before, "act")


def test_another_operators_acts_are_not_told(asked):
    assert query_acts.acts_done(asked, operator="nobody").rows == []
