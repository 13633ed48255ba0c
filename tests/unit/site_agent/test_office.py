"""The officer's statements: what they say, who signs, and that the ledger takes them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hospital import SECRET, SITE, START, officer_of
from simulated import Log

from governance.consent import Consent
from governance.identity.keys import SigningKey
from governance.statements import parse_time
from protos.errors import PeerFault, Refused
from protos.words import AgreementState, StatementReceipt
from site_agent import desk, drafts, office
from site_agent.standing import standing_of
from site_agent.store import journal


@pytest.fixture
def log(charite, tmp_path):
    made = Log(charite, tmp_path / "log.db")
    yield made
    made.close()


def standing(charite, document):
    return charite.store.look(lambda c: standing_of(c, "hearts", document.digest))


@contextlib.contextmanager
def refused(rule):
    with pytest.raises(Refused) as told:
        yield told
    assert told.value.rule == rule, told.value


def test_a_consent_is_taken_by_the_ledger_with_the_data_that_it_declares(charite, log):
    document = charite.proposed()
    log.propose(document)
    charite.consent(document)
    assert len(log.take_all()) == 2
    (said,) = charite.said("consent-given")
    body = said.statement.body
    assert (body["agreement"], body["material"]) == (document.digest, document.material)
    assert (body["cap"], body["delta"], body["declared_patients"]) == ("6", "0.00001", 60)
    assert body["stops_in_round"] == 0
    assert body["purposes"] == ["DUO:0000006"]
    assert parse_time(body["until"]) == document.agreement.valid.until
    assert set(said.statement.signatures) == {officer_of(SITE).key_id}
    assert {told.label: told.value for told in said.disclosures} == {
        "officer": "A. Weber",
        "role": "CMO",
    }
    (declared,) = charite.said("data-declared")
    assert declared.statement.body["expected_batch"] == "6"


def test_the_digest_of_the_text_that_was_shown_is_in_the_consent(charite):
    document = charite.proposed()
    reviewed = desk.reviewed(charite.m, document)
    charite.consent(document)
    (said,) = charite.said("consent-given")
    assert said.statement.body["review"] == reviewed.digest


def test_no_name_and_no_reason_is_in_an_entry(charite):
    document = charite.proposed()
    draft = charite.store.look(
        lambda c: office.decline_draft(c, charite.m, document, "unmistakable reason")
    )
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    charite.proposed(title="Another")
    charite.consent(charite.document(title="Another"), officer="Unmistakable Name")
    for kind in ("consent-declined", "consent-given"):
        for said in charite.said(kind):
            assert b"nmistakable" not in said.statement.payload


def test_a_consent_tells_in_which_round_the_cap_stops(make):
    poor = make(policy__cap={"epsilon": 1.0, "delta": 1e-5})
    document = poor.proposed()
    reviewed = desk.reviewed(poor.m, document)
    assert 0 < reviewed.stops_in_round < 20
    assert f"stops this hospital in round {reviewed.stops_in_round} of 20" in reviewed.text
    poor.consent(document)
    assert (
        poor.said("consent-given")[0].statement.body["stops_in_round"]
        == reviewed.stops_in_round
    )


def test_an_agreement_that_the_hospitals_file_refuses_cannot_be_consented_to(make):
    strict = make(policy__require_secure_aggregation=True)
    document = strict.proposed()
    with refused("own-policy"):
        strict.consent(document)
    assert strict.said("consent-given") == []


@pytest.mark.parametrize("patients", [55, 30, -10])
def test_declared_patients_are_in_tens_and_at_least_the_agreements(charite, patients):
    document = charite.proposed()
    with refused("declared-patients"):
        charite.consent(document, patients=patients)


def test_a_consent_names_who_signs(charite):
    document = charite.proposed()
    with refused("officer"):
        charite.consent(document, officer=" ")


def test_a_consent_cannot_be_over_before_it_begins(charite):
    document = charite.proposed()
    with refused("consent-is-lapsed"):
        charite.consent(document, until=START - timedelta(days=1))


def test_pause_and_resume_and_withdraw_follow_the_table_and_the_ledger(charite, log):
    document = charite.proposed()
    log.propose(document)
    charite.consent(document)
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    assert standing(charite, document).state is Consent.PAUSED
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    assert standing(charite, document).state is Consent.IN_FORCE
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    assert standing(charite, document).state is Consent.WITHDRAWN
    assert len(log.take_all()) == 5


def test_an_objection_suspends_tells_its_reason_and_ends_when_the_officer_resumes(charite, log):
    document = charite.proposed()
    log.propose(document)
    charite.consent(document)
    said = charite.store.now(lambda c: office.object_to(c, charite.m, document, "our nights"))
    assert standing(charite, document).state is Consent.OBJECTED
    (kept,) = charite.said("consent-objected")
    assert kept.statement.digest == said.digest
    assert [(d.label, d.value) for d in kept.disclosures] == [("reason", "our nights")]
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    assert standing(charite, document).state is Consent.IN_FORCE
    assert len(log.take_all()) == 4


def test_a_proposal_that_the_operator_took_back_cannot_be_consented_to(charite):
    document = charite.proposed()
    charite.take(AgreementState(document.digest, "withdrawn"))
    assert standing(charite, document).state is Consent.LAPSED
    with refused("consent-is-lapsed"):
        charite.consent(document)


def test_a_consent_to_a_proposal_that_was_taken_back_permits_nothing(charite):
    document = charite.consented()
    charite.take(AgreementState(document.digest, "withdrawn"))
    assert standing(charite, document).state is Consent.LAPSED


def test_what_cannot_follow_is_refused_before_it_is_signed(charite):
    document = charite.consented()
    with refused("consent-is-in-force"):
        charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    with refused("consent-is-withdrawn"):
        charite.store.now(lambda c: office.suspend(c, charite.m, document))
    with refused("consent-is-withdrawn"):
        charite.consent(document)


def test_an_agreement_edited_after_consent_has_none(charite):
    signed = charite.consented()
    edited = charite.proposed(title="A small study, edited")
    assert standing(charite, signed).state is Consent.IN_FORCE
    assert standing(charite, edited).state is Consent.PROPOSED


def test_a_permission_that_the_ledger_refused_does_not_count(charite):
    document = charite.proposed()
    statement = charite.consent(document)
    charite.take(StatementReceipt(statement.digest, accepted=False, rule="over-cap"))
    assert standing(charite, document).state is Consent.PROPOSED


def test_a_withdrawal_counts_even_if_the_ledger_refused_it(charite):
    document = charite.consented()
    statement = charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    charite.take(StatementReceipt(statement.digest, accepted=False, rule="consent-is-proposed"))
    assert standing(charite, document).state is Consent.WITHDRAWN


def test_an_agreement_that_is_superseded_suspends_its_consent(charite):
    document = charite.consented()
    charite.take(AgreementState(document.digest, "superseded"))
    assert standing(charite, document).state is Consent.OUTDATED


# --- signed on another machine ---------------------------------------------------------------


def draft_of(charite, document):
    reviewed = desk.reviewed(charite.m, document)
    answer = office.Answer("A. Weber", "CMO", document.agreement.valid.until, 60, {})
    return charite.store.look(
        lambda c: office.consent_draft(c, charite.m, document, reviewed, answer)
    )


def test_a_consent_can_be_signed_where_the_officers_key_lives(charite, log, tmp_path):
    document = charite.proposed()
    log.propose(document)
    path = tmp_path / "consent.json"
    path.write_bytes(drafts.to_file(draft_of(charite, document)))
    elsewhere = SigningKey.load(charite.folder / "keys" / "officer.pem", passphrase=SECRET)
    path.write_bytes(drafts.to_file(drafts.sign(drafts.from_file(path), elsewhere)))
    charite.deliver(drafts.from_file(path))
    assert standing(charite, document).state is Consent.IN_FORCE
    log.take_all()


def test_a_consent_by_another_key_than_the_enrolled_officers_is_refused(charite):
    document = charite.proposed()
    draft = draft_of(charite, document)
    forged = drafts.sign(draft, officer_of(SITE))
    other = drafts.sign(
        drafts.Draft(
            draft.payload.replace(
                officer_of(SITE).key_id.encode(), officer_of("amc").key_id.encode()
            ),
            draft.disclosures,
            "",
        ),
        officer_of("amc"),
    )
    with refused("officer-needed"):
        charite.deliver(other)
    charite.deliver(forged)


def test_a_draft_that_something_was_signed_after_is_refused(charite):
    document = charite.proposed()
    old = drafts.sign(draft_of(charite, document), officer_of(SITE))
    decline = charite.store.look(lambda c: office.decline_draft(c, charite.m, document, "no"))
    charite.deliver(drafts.sign(decline, officer_of(SITE)))
    with refused("broken-chain"):
        charite.deliver(old)


def test_other_values_than_those_committed_to_are_refused(charite):
    from dataclasses import replace

    document = charite.proposed()
    draft = drafts.sign(draft_of(charite, document), officer_of(SITE))
    swapped = tuple(replace(one, value="Somebody Else") for one in draft.disclosures)
    with refused("disclosure-mismatch"):
        charite.deliver(replace(draft, disclosures=swapped))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"form": "other"}', '{"form": 1, "payload": 2}']
)
def test_a_file_that_is_no_draft_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with refused("bad-file"):
        drafts.from_file(path)


def test_an_agents_statement_is_no_officers(charite):
    document = charite.consented()
    statement = charite.said("data-declared")[0].statement
    with pytest.raises(PeerFault):
        charite.deliver(drafts.Draft(statement.payload, (), "", statement.envelope))
    assert document


# --- the journal -----------------------------------------------------------------------------


def test_each_key_has_a_chain_of_its_own_from_one_on(charite):
    document = charite.consented()
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    agent, officer = charite.m.voice.key.key_id, officer_of(SITE).key_id

    def counters(c, key):
        rows = journal.by_key(c, "hearts", key, status=journal.QUEUED)
        return [said.statement.counter for said in rows]

    assert charite.store.look(lambda c: counters(c, agent)) == [2, 3]
    assert charite.store.look(lambda c: counters(c, officer)) == [1]
