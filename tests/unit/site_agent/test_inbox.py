"""What the coordinator says: taken once, in order, and believed no further than it may be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hospital import FEDERATION
from structlog.testing import capture_logs

from governance.consent import Consent
from governance.pacing import Hush
from protos.errors import PeerFault
from protos.words import (
    AgreementState,
    Cancel,
    CertificateIssued,
    CheckpointSent,
    FinalModel,
    Heartbeat,
    Proposal,
    TaskAnswer,
    ToSite,
)
from site_agent import inbox, office
from site_agent.agent import TaskState
from site_agent.standing import standing_of
from site_agent.store import letters, notes, terms, work


def take(charite, seq, body):
    return charite.store.now(lambda c: inbox.take(c, charite.m, ToSite(body, seq=seq)))


def taken(charite):
    return charite.store.look(lambda c: letters.taken(c, FEDERATION))


def note(charite, name):
    return charite.store.look(lambda c: notes.note(c, FEDERATION, name))


def known(charite):
    return charite.store.look(lambda c: terms.every(c, FEDERATION))


def test_a_message_is_taken_once_whoever_restarts(charite):
    document = charite.document()
    assert take(charite, 1, Proposal(document.raw))
    charite.restart()
    assert not take(charite, 1, Proposal(document.raw))
    assert taken(charite) == 1


def test_a_missing_message_is_a_fault_and_nothing_is_taken(charite):
    with pytest.raises(PeerFault):
        take(charite, 2, Proposal(charite.document().raw))
    assert (taken(charite), known(charite)) == (0, [])


@pytest.mark.parametrize(
    "body",
    [
        Proposal(b"{}"),
        Proposal(b"\xff\xfe"),
        AgreementState("f" * 64, "in-force"),
        FinalModel("f" * 64, None),
        Heartbeat(),
    ],
)
def test_a_message_that_breaks_a_rule_is_dropped_and_the_session_goes_on(charite, body):
    assert take(charite, 1, body)
    assert taken(charite) == 1
    assert note(charite, notes.FAULT)
    assert known(charite) == []


def test_a_proposal_of_another_federation_is_dropped(charite):
    charite.take(Proposal(charite.document(federation="lungs").raw))
    assert known(charite) == []


def test_a_proposal_that_is_sent_again_does_not_wipe_out_a_consent(charite):
    document = charite.consented()
    charite.take(Proposal(document.raw))
    assert (
        charite.store.look(lambda c: standing_of(c, FEDERATION, document.digest)).state
        is Consent.IN_FORCE
    )


def test_a_proposal_after_a_withdrawal_asks_anew(charite):
    document = charite.consented()
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    charite.take(Proposal(document.raw))
    assert (
        charite.store.look(lambda c: standing_of(c, FEDERATION, document.digest)).state
        is Consent.PROPOSED
    )


def test_proposals_that_nobody_answers_do_not_fill_the_store(charite):
    for number in range(inbox.OPEN_PROPOSALS + 3):
        charite.take(Proposal(charite.document(title=f"Study {number}").raw))
    assert len(known(charite)) == inbox.OPEN_PROPOSALS


def test_the_last_checkpoint_waits_for_the_witness(charite):
    first, last = (
        CheckpointSent("one\n", 0, (), ""),
        CheckpointSent("two\n", 0, (bytes(32),), "x"),
    )
    charite.take(first)
    charite.take(last)
    assert notes.checkpoint_of(note(charite, notes.CHECKPOINT)) == last


def test_a_cancel_ends_a_task_that_nobody_began(charite):
    document = charite.consented()
    task = charite.task(document)
    charite.take(task)
    charite.take(Cancel(task.task, "late"))
    assert charite.held(task).state is TaskState.CANCELLED
    assert charite.held(task).rule == "late"


def test_a_cancel_of_an_unknown_task_changes_nothing(charite):
    charite.take(Cancel("nobody/knows", "late"))
    assert charite.sent() == []


def test_a_certificate_and_a_final_model_wait_to_be_looked_at(charite):
    from protos.words import BlobRef

    document = charite.consented()
    charite.take(CertificateIssued(b"-----BEGIN"))
    charite.take(FinalModel(document.digest, BlobRef("e" * 64, 5)))
    assert note(charite, notes.CERTIFICATE) == "-----BEGIN"
    assert notes.blob_of(note(charite, notes.FINAL)) == BlobRef("e" * 64, 5)


def test_what_is_unacknowledged_is_sent_again_in_order_after_a_restart(charite):
    charite.consented()
    before = [word.seq for word in unsent(charite, 0)]
    charite.restart()
    assert [word.seq for word in unsent(charite, 0)] == before == [1, 2]
    assert [word.seq for word in unsent(charite, 1)] == [2]
    charite.store.now(lambda c: letters.acknowledged(c, FEDERATION, 1))
    assert [word.seq for word in unsent(charite, 0)] == [2]


def unsent(charite, after):
    return charite.store.look(lambda c: letters.unsent(c, FEDERATION, after=after))


def test_numbers_go_on_after_all_is_acknowledged(charite):
    charite.consented()
    charite.store.now(lambda c: letters.acknowledged(c, FEDERATION, 2))
    document = charite.proposed(title="Another")
    charite.consent(document)
    assert [word.seq for word in unsent(charite, 0)] == [3, 4]


# --- a coordinator that sends without end -----------------------------------------------------


def test_task_beyond_those_that_are_open_is_dropped(charite):
    document = charite.consented()
    for number in range(1, inbox.OPEN_TASKS + 3):
        assert charite.take(charite.task(document, round_=number))
    assert len(charite.store.look(lambda c: work.active(c, FEDERATION))) == inbox.OPEN_TASKS
    assert "too many tasks" in note(charite, notes.FAULT)


def test_task_is_dropped_while_the_coordinator_takes_nothing(charite):
    document = charite.consented()
    answer = TaskAnswer("hearts/1/1/train", accepted=False, rule="policy")
    for _ in range(inbox.UNANSWERED):
        charite.store.now(lambda c: letters.send(c, FEDERATION, answer, rule="task-refused"))
    charite.take(charite.task(document))
    assert charite.store.look(lambda c: work.active(c, FEDERATION)) == []
    charite.store.now(lambda c: letters.acknowledged(c, FEDERATION, inbox.UNANSWERED))
    charite.take(charite.task(document))
    assert len(charite.store.look(lambda c: work.active(c, FEDERATION))) == 1


def test_task_that_is_due_later_than_its_round_holds_up_no_other(charite):
    document = charite.consented()
    late = charite.clock.time + timedelta(days=3650)
    charite.take(charite.task(document, round_=10**12, deadline=late))
    assert charite.store.look(lambda c: work.active(c, FEDERATION)) == []
    assert "later than its round" in note(charite, notes.FAULT)
    charite.take(charite.task(document))
    assert len(charite.store.look(lambda c: work.active(c, FEDERATION))) == 1


def test_the_same_fault_is_logged_once(charite):
    inbox._hush = Hush()
    with capture_logs() as said:
        for number in range(20):
            charite.take(AgreementState(f"{number:064x}", "in-force"))
    assert [line["event"] for line in said] == ["message-dropped"]
