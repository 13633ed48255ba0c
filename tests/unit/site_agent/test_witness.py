"""A hospital as a witness: what it cosigns, and which histories make it stop."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hospital import FEDERATION, SITE, officer_of
from simulated import Log, agent_of

from governance import statements
from governance.identity.keys import SigningKey
from governance.ledger import checkpoint
from governance.ledger import store as ledger
from governance.statements import Chain
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from protos.words import CosignatureSent, StatementReceipt, StatementSent
from site_agent import consenting, deciding, desk, rollback, voice
from site_agent.agent import TaskState
from site_agent.readiness import Readiness
from site_agent.rollback import RolledBack
from site_agent.store import journal, notes
from site_agent.voice import Saying
from site_agent.witness import FORKS


@contextlib.contextmanager
def alarmed(post, rule):
    with pytest.raises(ConciliumError) as told:
        yield
    assert told.value.rule == rule
    assert post.note(notes.ALARM).startswith(rule)
    assert post.note(notes.EVIDENCE)


async def test_a_checkpoint_is_cosigned_when_all_of_it_is_held_here(post):
    sent = await post.see()
    (word,) = post.charite.sent(CosignatureSent)
    assert word.size == post.cosigned == 5
    key = checkpoint.witness_key(
        post.log.authority.log.origin, SITE, post.charite.m.voice.key.key_id
    )
    assert checkpoint.cosignature(sent.note, word.line, key)
    head = post.copy.now(ledger.head)
    assert head.size == 5


async def test_the_next_one_brings_only_what_is_new_and_its_proof(post):
    await post.see()
    post.log.propose(post.charite.document())
    await post.see()
    assert post.link.asked == [("entries", 0), ("entries", 5)]
    assert post.cosigned == 6


async def test_a_checkpoint_with_a_proof_from_elsewhere_asks_for_the_right_one(post):
    await post.see()
    post.log.propose(post.charite.document())
    await post.see(since=2)
    assert ("consistency", 5) in post.link.asked
    assert post.cosigned == 6


async def test_the_same_checkpoint_again_is_cosigned_once(post):
    sent = await post.see()
    await post.witness.witness(sent)
    assert len(post.charite.sent(CosignatureSent)) == 1


async def test_an_older_checkpoint_of_the_same_history_changes_nothing(post):
    first = await post.see()
    post.log.propose(post.charite.document())
    await post.see()
    await post.witness.witness(first)
    assert post.note(notes.ALARM) == ""


async def test_a_head_that_the_log_did_not_sign_is_no_head(post):
    sent = post.log.checkpoint()
    head = checkpoint.Checkpoint(post.log.authority.log.origin, 5, bytes(32))
    forged = replace(sent, note=checkpoint.sign(head, agent_of("amc")))
    with pytest.raises(PeerFault):
        await post.witness.witness(forged)
    assert post.note(notes.ALARM) == ""


async def test_a_root_over_other_entries_stops_the_site(post):
    head = checkpoint.Checkpoint(post.log.authority.log.origin, 5, bytes(32))
    forged = replace(post.log.checkpoint(), note=checkpoint.sign(head, post.log.key))
    with alarmed(post, "history-differs"):
        await post.witness.witness(forged)
    assert post.cosigned == 0
    assert post.charite.sent(CosignatureSent) == []


async def test_a_rewritten_past_stops_the_site_and_both_notes_are_kept(post, charite, tmp_path):
    ours = await post.see()
    other = Log(charite, tmp_path / "other.db")
    other.propose(charite.document(title="Another past"))
    post.link.log = other
    forged = other.checkpoint(since=5)
    with alarmed(post, "bad-proof"):
        await post.witness.witness(forged)
    assert ours.note.splitlines()[0] in post.note(notes.EVIDENCE)
    assert forged.note in post.note(notes.EVIDENCE)
    assert post.cosigned == 5
    other.close()


async def test_an_older_head_of_another_history_stops_the_site(post):
    post.log.propose(post.charite.document())
    await post.see()
    head = checkpoint.Checkpoint(post.log.authority.log.origin, 4, bytes(32))
    with alarmed(post, "history-differs"):
        await post.witness.witness(
            replace(post.log.checkpoint(), note=checkpoint.sign(head, post.log.key))
        )


STARTED = {"program": "x", "version": "1", "os": "y"}


async def test_a_statement_in_this_sites_name_by_a_key_it_never_made_is_foreign(post):
    m, stranger = post.charite.m, SigningKey.from_seed(bytes(32))
    payload = statements.compose(
        "software-started",
        STARTED,
        actor=f"site/{SITE}",
        key=stranger.key_id,
        chain=Chain.START,
        log=m.voice.log,
        at=m.now(),
    )
    said = statements.read(statements.sign(payload, [stranger]))
    refusal = post.charite.store.now(lambda c: rollback.stranger(c, m, 9, said))
    assert refusal.rule == "foreign-statement"
    assert refusal.rule in FORKS


async def test_a_statement_of_its_own_key_that_its_store_forgot_stops_it_without_alarm(post):
    key = post.charite.m.voice.key
    post.log.say("software-started", STARTED, f"site/{SITE}", key)
    with pytest.raises(Refused) as told:
        await post.see()
    assert told.value.rule == "store-rolled-back"
    assert "concilium-site recover" in told.value.todo
    assert post.note(notes.ALARM) == ""
    with pytest.raises(RolledBack, match="this store has no memory of it"):
        await post.witness.run()


async def test_no_task_is_taken_by_a_store_that_was_rolled_back(post):
    post.log.say("software-started", STARTED, f"site/{SITE}", post.charite.m.voice.key)
    with pytest.raises(Refused):
        await post.see()
    document = post.charite.consented()
    task = post.charite.task(document)
    post.charite.take(task)
    facts = await post.witness.facts_for(task, timedelta(), Readiness(post.charite.m))
    held = post.charite.held(task)
    state = post.charite.store.now(lambda c: deciding.decide(c, post.charite.m, held, facts))
    assert (state, post.charite.held(task).rule) == (TaskState.REFUSED, "store-rolled-back")
    assert post.charite.spent() == []


async def test_another_log_than_the_one_enrolled_in_stops_the_site(post):
    stranger = replace(post.witness._key, public=bytes(31) + b"\x01")
    from site_agent.claims import check_first

    with ledger.reading(post.log.engine) as c:
        first = next(iter(ledger.entries(c, 0, 1)))
    with pytest.raises(Refused) as told:
        check_first(first, post.charite.m, stranger)
    assert told.value.rule == "history-differs"


async def test_after_an_alarm_nothing_is_cosigned_and_no_task_is_taken(post):
    head = checkpoint.Checkpoint(post.log.authority.log.origin, 5, bytes(32))
    forged = replace(post.log.checkpoint(), note=checkpoint.sign(head, post.log.key))
    with alarmed(post, "history-differs"):
        await post.witness.witness(forged)
    with pytest.raises(Refused):
        await post.see()
    post.restart()
    document = post.charite.consented()
    task = post.charite.task(document)
    post.charite.take(task)
    facts = await post.witness.facts_for(task, timedelta(), Readiness(post.charite.m))
    held = post.charite.held(task)
    state = post.charite.store.now(lambda c: deciding.decide(c, post.charite.m, held, facts))
    assert state is TaskState.REFUSED
    assert post.charite.held(task).rule == "integrity-alarm"


async def test_an_agreement_is_in_force_when_the_ledger_says_so_and_no_sooner(post):
    document = post.charite.proposed()
    post.log.propose(document)
    post.charite.consent(document)
    post.log.take_all()
    task, readiness = post.charite.task(document), Readiness(post.charite.m)
    await post.see()
    facts = await post.witness.facts_for(task, timedelta(), readiness)
    assert (facts.in_force, facts.not_in_force) == (frozenset(), {document.digest})
    post.log.in_force(document)
    await post.see()
    facts = await post.witness.facts_for(task, timedelta(), readiness)
    assert (facts.in_force, facts.not_in_force) == ({document.digest}, frozenset())


async def test_a_cut_line_leaves_the_copy_as_it_was(post):
    post.link.broken = 1
    with pytest.raises(Unavailable):
        await post.see()
    assert post.copy.now(ledger.size_of) == 0
    await post.see()
    assert post.cosigned == 5


async def test_a_crash_after_cosigning_still_sends_the_cosignature(post):
    await post.see()
    post.charite.store.now(lambda c: notes.set_note(c, FEDERATION, notes.COSIGNED, ""))
    before = len(post.charite.sent(CosignatureSent))
    post.restart()
    await post.witness._send_last()
    assert len(post.charite.sent(CosignatureSent)) == before + 1
    await post.witness._send_last()
    assert len(post.charite.sent(CosignatureSent)) == before + 1


async def test_entries_in_the_sites_own_name_settle_its_journal(post):
    document = post.charite.proposed()
    post.log.propose(document)
    post.charite.consent(document)
    post.log.take_all()
    await post.see()
    said = post.charite.said("consent-given")[0]
    assert (said.status, said.seq) == (journal.ACCEPTED, 6)


# --- the chain, mended -----------------------------------------------------------------------


async def test_a_contribution_given_up_too_early_is_found_in_the_log(post):
    charite = post.charite
    body = {"program": "concilium-site", "version": "1", "os": "Linux"}
    flying = charite.store.now(
        lambda c: voice.contribute(c, charite.m.voice, Saying("software-started", body, "x"))
    )
    post.log.append(flying)  # it was in after all
    said = charite.store.now(
        lambda c: voice.say(c, charite.m.voice, Saying("software-started", body, "x"))
    )
    with pytest.raises(Refused) as told:
        post.log.append(said)
    charite.take(StatementReceipt(said.digest, accepted=False, rule=told.value.rule))
    assert post.note(notes.RELINK)
    assert await post.witness._catch_up("", post.note(notes.RELINK))
    assert post.note(notes.RELINK) == ""
    assert (
        charite.store.look(lambda c: journal.find(c, FEDERATION, flying.digest)).status
        == journal.ACCEPTED
    )
    from governance import statements

    post.log.append(statements.read(charite.sent(StatementSent)[-1].envelope))


async def test_what_an_officer_signed_and_a_recovered_ledger_lost_is_sent_again(post):
    charite = post.charite
    document = charite.proposed()
    post.log.propose(document)
    charite.consent(document)
    (consent,) = charite.said("consent-given")
    digest = consent.statement.digest
    charite.take(StatementReceipt(digest, accepted=True, seq=7))  # by a log that is no more
    before = len(charite.sent(StatementSent))
    post.log.recovered()
    await post.see()
    assert await post.witness._catch_up("", post.note(notes.RELINK))
    (again,) = charite.sent(StatementSent)[before:]
    assert again.envelope == consent.statement.envelope


async def test_a_proof_that_leads_elsewhere_stops_the_site(post):
    await post.see()
    post.log.propose(post.charite.document())
    sent = post.log.checkpoint(since=5)
    with alarmed(post, "bad-proof"):
        await post.witness.witness(replace(sent, consistency=(bytes(32),)))


async def test_a_proposal_that_names_other_operators_than_its_document_stops_the_site(post):
    """The log would judge acts by an operator to whom no officer ever agreed."""
    await post.see()
    document = post.charite.proposed()
    post.log.propose(document, operators={"ops": officer_of("somebody").key_id})
    with alarmed(post, "operators-misstated"):
        await post.see()
    assert post.cosigned == 5


async def test_a_proposal_that_comes_after_its_false_entry_gets_no_consent(post):
    document = post.charite.document()
    post.log.propose(document, two_for=["release"])
    await post.see()
    post.charite.proposed(document)
    given = consenting.Given("A. Weber", "CMO", None, 60, {})
    with pytest.raises(Refused) as told:
        consenting.drafted(
            post.charite.m, document, desk.reviewed(post.charite.m, document), given
        )
    assert told.value.rule == "operators-misstated"


async def test_an_invented_entry_stops_the_site(post, monkeypatch):
    """The log lets in what no hospital signed; the copy does not."""
    from governance.ledger import admission

    await post.see()
    document = post.charite.document()
    forged = {"agreement": document.digest, "material": document.material, "changes": {}}
    with monkeypatch.context() as lax:
        lax.setattr(admission.statements, "check_signatures", lambda *_, **__: None)
        post.log.say("agreement-proposed", forged, "operator/ops", _Liar())
    with alarmed(post, "bad-signature"):
        await post.see()


async def test_an_act_by_an_operator_whom_the_agreement_does_not_name_is_not_cosigned(
    post, monkeypatch
):
    """The log lets it in; the copy, which judges by the proposal, does not."""
    from governance.ledger import admission

    document = post.charite.proposed()
    post.log.enrol_operator("stranger")
    post.log.propose(document)
    post.charite.consent(document)
    post.log.take_all()
    post.log.in_force(document)
    await post.see()
    before = post.cosigned
    with monkeypatch.context() as lax:
        lax.setattr(admission.operators, "check_act", lambda *_: None)
        body = {"act": "pause", "round": 0}
        post.log.say("operator-acted", body, "operator/stranger", officer_of("stranger"))
    with pytest.raises(Refused, check=lambda told: told.rule == "operator-not-in-agreement"):
        await post.see()
    assert post.cosigned == before


class _Liar:
    """Whoever has the log's machine, but not the operator's key."""

    def __init__(self):
        from hospital import officer_of

        self.key_id = officer_of("operator").key_id

    def sign(self, data):
        return bytes(64)
