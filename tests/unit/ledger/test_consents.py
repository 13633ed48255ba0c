"""Agreements and consents as the log's tables have them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from admission import FIRST, contribute, digest, refused
from sqlalchemy import select

from governance.ledger import schema, store


def states(federation, agreement="first"):
    table = schema.consents
    rows = federation.connection.execute(
        select(table.c.site, table.c.state).where(table.c.agreement == digest(agreement))
    )
    return dict(rows.all())


def agreement_states(federation):
    table = schema.agreements
    rows = federation.connection.execute(select(table.c.state).order_by(table.c.proposed_seq))
    return list(rows.scalars())


def permitted(federation, agreement="first", now=None):
    rows = store.consents_in_force(
        federation.connection, digest(agreement), now or federation.now
    )
    return [row.site for row in rows]


# --- agreements ---------------------------------------------------------------------------


def test_an_agreement_is_proposed_once_and_known_before_anything_else(federation):
    refused("unknown-agreement", federation.consent, "amc", "first")
    refused("unknown-agreement", federation.moved, "in-force", "first")
    federation.propose("first")
    refused("already-proposed", federation.propose, "first")
    assert agreement_states(federation) == ["proposed"]


def test_an_agreement_takes_force_with_the_sites_that_consent(federation):
    federation.propose("first")
    seq = federation.consent("amc", "first")
    refused("no-consent", federation.moved, "in-force", "first", "amc", "ucl")
    refused("material-differs", federation.moved, "in-force", "first", material="other")
    refused("rests-on-nothing", federation.moved, "in-force", "first", rests_on=[seq + 1])
    federation.moved("in-force", "first", "amc", rests_on=[seq])
    refused("agreement-state", federation.moved, "in-force", "first", "amc")


@pytest.mark.parametrize("end", ["superseded", "expired", "complete"])
def test_an_agreement_that_ended_is_over(agreed, end):
    agreed.moved(end, "first")
    assert agreement_states(agreed) == [end]
    refused("agreement-state", agreed.moved, "in-force", "first", "amc")
    refused("agreement-not-in-force", agreed.open_round, 1)
    agreed.officer("amc", "consent-suspended", FIRST)
    resumed = FIRST | {"material": digest("first")}
    refused("agreement-state", agreed.officer, "amc", "consent-resumed", resumed)


def test_a_proposal_does_not_end_before_it_began(federation):
    federation.propose("first")
    for end in ("superseded", "expired", "complete"):
        refused("agreement-state", federation.moved, end, "first")


def withdraw_proposal(federation, agreement, material=None):
    body = {"agreement": digest(agreement), "material": digest(material or agreement)}
    return federation.operator("agreement-proposal-withdrawn", body)


def test_a_proposal_that_is_withdrawn_ends_with_every_consent_to_it(federation):
    federation.propose("first")
    federation.consent("amc", "first")
    federation.officer("ucl", "consent-declined", FIRST)
    withdraw_proposal(federation, "first")
    assert agreement_states(federation) == ["withdrawn"]
    assert states(federation) == {"amc": "lapsed", "ucl": "declined"}
    assert permitted(federation) == []
    refused("agreement-state", federation.moved, "in-force", "first", "amc")
    refused("consent-is-lapsed", federation.officer, "amc", "consent-withdrawn", FIRST)
    refused("already-proposed", federation.propose, "first")


def test_a_withdrawn_proposal_leaves_the_agreement_in_force_and_its_consents_alone(agreed):
    agreed.propose("second")
    agreed.consent("amc", "second")
    withdraw_proposal(agreed, "second")
    assert agreement_states(agreed) == ["in-force", "withdrawn"]
    assert set(permitted(agreed)) == {"amc", "ucl"}


def test_only_what_is_proposed_still_and_known_by_its_terms_is_withdrawn(agreed):
    refused("unknown-agreement", withdraw_proposal, agreed, "second")
    refused("agreement-state", withdraw_proposal, agreed, "first")
    agreed.propose("second")
    refused("material-differs", withdraw_proposal, agreed, "second", material="first")
    withdraw_proposal(agreed, "second")
    refused("agreement-state", withdraw_proposal, agreed, "second")


def test_two_agreements_are_never_in_force(agreed):
    agreed.propose("second")
    agreed.consent("amc", "second")
    refused("agreement-state", agreed.moved, "in-force", "second", "amc")


# --- consent ------------------------------------------------------------------------------


def test_consent_is_to_the_material_terms_of_an_open_agreement(agreed):
    agreed.propose("second")
    refused("material-differs", agreed.consent, "amc", "second", material="first")
    agreed.moved("complete", "first")
    agreed.enrol_site("ki")
    refused("agreement-state", agreed.consent, "ki", "first")


def test_a_second_consent_is_refused(agreed):
    refused("consent-is-in-force", agreed.consent, "amc", "first")


def test_declining_and_withdrawing_end(federation):
    federation.propose("first")
    federation.officer("amc", "consent-declined", FIRST)
    federation.officer("ucl", "consent-withdrawn", FIRST)
    assert states(federation) == {"amc": "declined", "ucl": "declined"}
    refused("consent-is-declined", federation.consent, "amc", "first")
    refused("consent-is-declined", federation.officer, "ucl", "consent-withdrawn", FIRST)
    assert permitted(federation) == []


def test_a_pause_is_reversible_and_a_withdrawal_is_not(agreed):
    agreed.agent("amc", "consent-suspended", FIRST)
    assert states(agreed)["amc"] == "paused"
    assert permitted(agreed) == ["ucl"]
    refused("consent-is-paused", agreed.agent, "amc", "consent-suspended", FIRST)
    resumed = FIRST | {"material": digest("first")}
    agreed.officer("amc", "consent-resumed", resumed)
    assert permitted(agreed) == ["amc", "ucl"]
    agreed.agent("amc", "consent-objected", FIRST)
    assert states(agreed)["amc"] == "objected"
    agreed.officer("amc", "consent-resumed", resumed)
    agreed.agent("amc", "consent-withdrawn", FIRST)
    assert permitted(agreed) == ["ucl"]
    for kind, body in (
        ("consent-withdrawn", FIRST),
        ("consent-suspended", FIRST),
        ("consent-resumed", resumed),
    ):
        refused("consent-is-withdrawn", agreed.officer, "amc", kind, body)


def test_nobody_pauses_resumes_or_objects_before_consenting(federation):
    federation.propose("first")
    for kind in ("consent-suspended", "consent-objected"):
        refused("consent-is-proposed", federation.officer, "amc", kind, FIRST)
    resumed = FIRST | {"material": digest("first")}
    refused("consent-is-proposed", federation.officer, "amc", "consent-resumed", resumed)


def test_resuming_is_to_the_same_material_terms(agreed):
    agreed.officer("amc", "consent-suspended", FIRST)
    other = FIRST | {"material": digest("other")}
    refused("material-differs", agreed.officer, "amc", "consent-resumed", other)


def test_an_old_consent_is_not_delivered_as_a_new_one(federation):
    federation.propose("first")
    soon = federation.now + timedelta(seconds=1)
    refused("consent-is-lapsed", federation.consent, "amc", "first", until=soon)


def test_time_ends_a_consent_at_the_second_it_is_due(federation):
    federation.propose("first")
    until = federation.now + timedelta(minutes=1)
    federation.consent("amc", "first", until=until)
    before = until - timedelta(microseconds=1)
    assert permitted(federation, now=before) == ["amc"]
    assert permitted(federation, now=until) == []
    federation.now = until
    assert states(federation) == {"amc": "in-force"}
    refused("no-consent", federation.moved, "in-force", "first", "amc")


def test_a_consent_whose_time_is_over_is_not_resumed_but_may_be_withdrawn(federation):
    federation.propose("first")
    until = federation.now + timedelta(minutes=1)
    federation.consent("amc", "first", until=until)
    federation.officer("amc", "consent-suspended", FIRST)
    federation.now = until
    resumed = FIRST | {"material": digest("first")}
    refused("consent-is-lapsed", federation.officer, "amc", "consent-resumed", resumed)
    federation.officer("amc", "consent-withdrawn", FIRST)
    assert states(federation) == {"amc": "withdrawn"}


def test_the_coordinator_records_a_lapse_only_once_it_is_one(federation):
    federation.propose("first")
    until = federation.now + timedelta(minutes=1)
    federation.consent("amc", "first", until=until)
    lapsed = FIRST | {"site": "amc"}
    refused("consent-has-time", federation.coordinator, "consent-lapsed", lapsed)
    federation.now = until
    federation.coordinator("consent-lapsed", lapsed)
    assert states(federation) == {"amc": "lapsed"}
    refused("consent-is-lapsed", federation.coordinator, "consent-lapsed", lapsed)


def test_a_proposal_lapses_unanswered_only_when_a_later_one_took_force(federation):
    federation.propose("first")
    lapsed = FIRST | {"site": "ucl"}
    refused("still-asked", federation.coordinator, "consent-lapsed", lapsed)
    federation.propose("second")
    federation.consent("amc", "second")
    federation.moved("in-force", "second", "amc")
    federation.coordinator("consent-lapsed", lapsed)
    assert states(federation) == {"ucl": "lapsed"}
    refused("consent-is-lapsed", federation.consent, "ucl", "first")
    asked = {"agreement": digest("second"), "site": "ucl"}
    refused("still-asked", federation.coordinator, "consent-lapsed", asked)


def test_a_revoked_site_consents_to_nothing_any_more(agreed):
    agreed.operator("revoked", {"name": "amc", "serials": []})
    assert states(agreed)["amc"] == "in-force"
    assert permitted(agreed) == ["ucl"]
    refused("no-consent", agreed.open_round, 1)


# --- a new agreement ----------------------------------------------------------------------


def test_the_old_consent_holds_until_the_new_agreement_is_in_force(agreed):
    agreed.propose("second")
    agreed.consent("amc", "second")
    assert permitted(agreed, "first") == ["amc", "ucl"]
    agreed.open_round(1)
    agreed.abandon(1)
    agreed.moved("superseded", "first")
    agreed.moved("in-force", "second", "amc")
    assert states(agreed, "first") == {"amc": "superseded", "ucl": "outdated"}
    assert permitted(agreed, "second") == ["amc"]
    agreed.consent("ucl", "second")
    assert states(agreed, "first") == {"amc": "superseded", "ucl": "superseded"}
    assert states(agreed, "second") == {"amc": "in-force", "ucl": "in-force"}


def test_a_consent_outdated_is_not_resumed(agreed):
    agreed.propose("second")
    agreed.consent("amc", "second")
    agreed.moved("superseded", "first")
    agreed.moved("in-force", "second", "amc")
    resumed = FIRST | {"material": digest("first")}
    refused("consent-is-outdated", agreed.officer, "ucl", "consent-resumed", resumed)


def test_a_consent_holds_for_the_next_agreement_with_the_same_material_terms(agreed):
    agreed.propose("second", material="first")
    agreed.moved("superseded", "first")
    agreed.moved("in-force", "second", "amc", "ucl", material="first")
    assert states(agreed, "first") == {"amc": "in-force", "ucl": "in-force"}
    assert permitted(agreed, "second") == ["amc", "ucl"]
    agreed.open_round(1, agreement="second")
    second = {"agreement": digest("second")}
    agreed.officer("amc", "consent-suspended", second)
    assert states(agreed, "first")["amc"] == "paused"
    agreed.officer("amc", "consent-resumed", second | {"material": digest("first")})
    agreed.consent("ucl", "second", material="first")
    assert states(agreed, "first") == {"amc": "in-force", "ucl": "superseded"}
    assert permitted(agreed, "second") == ["amc", "ucl"]


@pytest.mark.parametrize("end", ["consent-withdrawn", "consent-suspended"])
def test_leaving_an_agreement_is_not_undone_by_a_consent_to_the_same_terms(agreed, end):
    agreed.propose("second", material="first")
    agreed.consent("amc", "second", material="first")
    agreed.open_round(1)
    agreed.reserve("amc", 1)
    agreed.agent("amc", end, FIRST)
    assert permitted(agreed, "first") == ["ucl"]
    refused("no-consent", agreed.contribute, "amc", 1)
    assert permitted(agreed, "second") == ["amc", "ucl"]


def test_who_withdrew_in_a_round_is_not_in_its_model_for_a_consent_to_the_same_terms(agreed):
    agreed.propose("second", material="first")
    agreed.consent("amc", "second", material="first")
    agreed.open_round(1)
    contribute(agreed)
    agreed.agent("amc", "consent-withdrawn", FIRST)
    refused("consent-ended", agreed.close, 1)
    agreed.close(1, sites_in=["ucl"], out={"amc": "consent"})


def test_who_withdrew_from_a_proposal_is_not_in_it_for_a_consent_to_the_same_terms(agreed):
    agreed.propose("second", material="first")
    second = {"agreement": digest("second")}
    agreed.consent("amc", "second", material="first")
    agreed.agent("amc", "consent-withdrawn", second)
    agreed.moved("superseded", "first")
    refused("no-consent", agreed.moved, "in-force", "second", "amc", "ucl", material="first")
    agreed.moved("in-force", "second", "ucl", material="first")
    assert permitted(agreed, "second") == ["ucl"]
    refused("no-consent", agreed.open_round, 1, agreement="second")


def test_a_consent_to_what_is_still_proposed_is_not_left_out(agreed):
    agreed.propose("second")
    agreed.propose("third")
    agreed.consent("amc", "second")
    agreed.consent("amc", "third")
    agreed.moved("superseded", "first")
    agreed.moved("in-force", "second", "amc")
    assert states(agreed, "third") == {"amc": "in-force"}


def test_what_was_agreed_is_in_the_table(agreed):
    row = agreed.connection.execute(
        select(schema.consents).where(schema.consents.c.site == "amc")
    ).one()
    assert row.cohort == "infarction"
    assert row.purposes == '["DUO:0000006"]'
    assert (row.cap, row.delta, row.declared_patients) == ("8", "0.00001", 120)
    assert row.given_seq == row.changed_seq


def test_acts_are_recorded_with_what_they_say(federation):
    federation.propose("first")
    invite = {"act": "invite", "role": "site", "name": "ki", "secret": digest("token")}
    seq = federation.operator("operator-acted", invite)
    rows = federation.connection.execute(select(schema.acts).order_by(schema.acts.c.seq)).all()
    assert [(row.operator, row.act) for row in rows] == [("ops", "propose"), ("ops", "invite")]
    assert rows[1] == (
        seq,
        "ops",
        "invite",
        f'{{"name":"ki","role":"site","secret":"{digest("token")}"}}',
    )
