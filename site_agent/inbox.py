"""What each message of the coordinator changes, in the transaction that takes it.

Nothing here is believed beyond what its kind can do: a proposal is only kept, a state of an
agreement is only the coordinator's word, a task waits for the site's own rules, a checkpoint
for the witness. A message that breaks a rule is dropped and noted; it never stops the session.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from governance.agreement.load import parse
from governance.consent import ENDED
from governance.ledger.savepoint import savepoint
from governance.pacing import Hush
from governance.statements import parse_time
from governance.stragglers import LATE
from protos.errors import ConciliumError, PeerFault
from protos.words import (
    AgreementState,
    Cancel,
    CertificateIssued,
    CheckpointSent,
    FinalModel,
    Proposal,
    StatementReceipt,
    Task,
)
from protos.words_masks import MaskAsked
from site_agent import dating, lateness, masking, restraint, voice
from site_agent.agent import Event, TaskState, is_news
from site_agent.policy import largest_file
from site_agent.progress import Told, cancel, happen
from site_agent.standing import standing_of
from site_agent.store import journal, letters, masks, terms, work
from site_agent.store.notes import (
    CERTIFICATE,
    CHECKPOINT,
    FAULT,
    FINAL,
    PROPOSED,
    RELINK,
    checkpoint_text,
    note,
    set_note,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from protos.words import ToSite
    from site_agent.membership import Membership
    from site_agent.store.work import Held

_log = structlog.get_logger("inbox")
_hush = Hush()
_LATER_BY: Final = timedelta(days=2)

OPEN_PROPOSALS: Final = 16
"""Proposals that nobody answered; more are not kept."""
OPEN_TASKS: Final = 64
"""Tasks that are not ended; more are not kept."""
UNANSWERED: Final = 1000
"""Messages of this site that were not acknowledged; no task is kept that would bring more."""
CHAIN_RULES: Final = frozenset({"broken-chain"})
"""The ledger's rules for a statement that does not follow its key's last one."""


def take(c: Connection, m: Membership, word: ToSite) -> bool:
    """Take a numbered message durably; return False for one that was taken before.

    Raises:
        PeerFault: one before it is missing.
    """
    if not is_news(word.seq, taken=letters.taken(c, m.federation)):
        return False
    handler = _HANDLERS.get(type(word.body))
    try:
        with savepoint(c):
            if handler is None:
                raise PeerFault("this message carries no number", rule="unexpected-message")
            handler(c, m, word.body)
    except ConciliumError as problem:
        kind = type(word.body).__name__
        more = _hush.says(f"{kind} {problem.rule}", m.federation, at_s=time.monotonic())
        if more is not None:
            told = {"kind": kind, "rule": problem.rule, "what": problem.what}
            _log.warning("message-dropped", **told, **more)
        set_note(c, m.federation, FAULT, f"{kind}: {problem}")
    letters.set_taken(c, m.federation, word.seq)
    return True


def _proposal(c: Connection, m: Membership, body: Proposal) -> None:
    document = parse(body.document)
    # 1. It is this federation's. Stops one federation speaking for another.
    if document.agreement.federation != m.federation:
        raise PeerFault("the proposal is another federation's", rule="wrong-federation")
    known = terms.find(c, m.federation, document.digest)
    # 2. One that was answered stays answered until it has ended. Stops a second proposal of the
    #    same bytes from wiping out a consent, or the budget's reading of it.
    if known is not None:
        standing = standing_of(c, m.federation, document.digest)
        if standing.at(m.now()) not in ENDED:
            return
    # 3. So many unanswered ones at most. Stops the store from being filled.
    elif len(terms.every(c, m.federation, state="proposed")) >= OPEN_PROPOSALS:
        raise PeerFault("too many proposals wait for an answer", rule="too-many-proposals")
    before = f"{PROPOSED}/{document.digest}"
    first = note(c, m.federation, before)  # a consent of before the store was lost holds on
    at = parse_time(first) if first else m.now()
    set_note(c, m.federation, before, "")
    offered = terms.Offered(document.digest, document.material, document.raw, "proposed", at)
    terms.keep(c, m.federation, offered)


def _agreement_state(c: Connection, m: Membership, body: AgreementState) -> None:
    if terms.find(c, m.federation, body.agreement) is None:
        raise PeerFault("the state of an unknown agreement", rule="unknown-agreement")
    terms.set_state(c, m.federation, body.agreement, body.state)


def _task(c: Connection, m: Membership, body: Task) -> None:
    known = work.find(c, m.federation, body.task)
    # Few enough were refused lately. Stops the journal from being filled with refusals.
    restraint.check(c, m)
    if known is None:
        _check_new(c, m, body)
        work.offer(c, m.federation, body)
    elif known.task == replace(body, deadline=known.task.deadline):
        again = _can_be_sent_again(c, m, known)
        happen(c, m, known, Event.WANTED_AGAIN if again else Event.REPEATED, Told())
    else:
        raise PeerFault("one task's id for two tasks", rule="task-changed")


def _can_be_sent_again(c: Connection, m: Membership, held: Held) -> bool:
    """Tell whether the update of a task that is done is here, as a spool may have lost it.

    A masked one is made anew of it as it was, as long as its masks are here.
    """
    if held.state is not TaskState.DONE or held.update is None:
        return False
    masked = bool(held.task.masks)
    return not masked or masks.find(c, m.federation, held.task.task, site=m.site) is not None


def _check_new(c: Connection, m: Membership, task: Task) -> None:
    # 1. So many open ones at most. Stops the store from being filled with tasks.
    if len(work.active(c, m.federation)) >= OPEN_TASKS:
        raise PeerFault("too many tasks are open", rule="too-many-tasks")
    # 2. What this site says is taken. Stops it from being filled with answers.
    if letters.count(c, m.federation) >= UNANSWERED:
        raise PeerFault("too much of what this site said is not taken", rule="too-many-tasks")
    # 3. Due when a round of the agreement can be. Stops one that all others would wait for.
    offered = terms.find(c, m.federation, task.agreement)
    if offered is not None:
        lasts = timedelta(seconds=parse(offered.document).agreement.round.deadline)
        if task.deadline > m.now() + 2 * lasts + _LATER_BY:
            raise PeerFault("the task is due later than its round", rule="deadline-too-late")


def _cancel(c: Connection, m: Membership, body: Cancel) -> None:
    held = work.find(c, m.federation, body.task)
    if held is None:
        return
    if lateness.goes_on(c, m, held, body.rule):
        happen(c, m, held, Event.WENT_ON, Told())
        return
    cancel(c, m, held, body.rule or "cancelled")
    masks.forget(c, m.federation, body.task)
    for late in work.active(c, m.federation):
        # The round in which its update could count is over too.
        if late.state is TaskState.LATE and late.task.round < held.task.round:
            cancel(c, m, late, LATE)


def _receipt(c: Connection, m: Membership, body: StatementReceipt) -> None:
    said = journal.find(c, m.federation, body.statement)
    if said is None:
        return
    digest = said.statement.digest
    if body.accepted:
        journal.mark(c, m.federation, digest, status=journal.ACCEPTED, seq=body.seq)
        if said.status == journal.VOID:
            set_note(c, m.federation, RELINK, "yes")
    elif said.status in {journal.VOID, journal.ACCEPTED}:
        return
    elif body.rule in CHAIN_RULES:
        # Something before it is in the ledger that we gave up: look there, then sign again.
        set_note(c, m.federation, RELINK, "yes")
        return
    elif body.rule == dating.RULE and dating.put_off(c, m, said):
        return
    else:
        _log.warning(
            "statement-refused", kind=said.statement.kind, rule=body.rule, what=body.sentence
        )
        set_note(c, m.federation, FAULT, f"{said.statement.kind}: {body.sentence}")
        voice.give_up(c, m.voice, digest, rule=body.rule or "refused")
    if said.statement.kind == "budget-reserved":
        _reservation(c, m, said.task, body)


def _reservation(c: Connection, m: Membership, task: str, body: StatementReceipt) -> None:
    held = work.find(c, m.federation, task)
    if held is None:
        return
    event = Event.RESERVED if body.accepted else Event.RESERVATION_REFUSED
    happen(c, m, held, event, Told(rule="" if body.accepted else body.rule or "refused"))


def _checkpoint(c: Connection, m: Membership, body: CheckpointSent) -> None:
    set_note(c, m.federation, CHECKPOINT, checkpoint_text(body))


def _certificate(c: Connection, m: Membership, body: CertificateIssued) -> None:
    set_note(c, m.federation, CERTIFICATE, body.chain.decode("ascii", "replace"))


def _final(c: Connection, m: Membership, body: FinalModel) -> None:
    offered = terms.find(c, m.federation, body.agreement)
    if offered is None:
        raise PeerFault("the model of an unknown agreement", rule="unknown-agreement")
    if body.model.size > largest_file(parse(offered.document).agreement):
        raise PeerFault("the final model is larger than it can be", rule="file-too-large")
    set_note(c, m.federation, FINAL, f"{body.model.digest} {body.model.size}")


_HANDLERS: Final[Mapping[type, Callable[[Connection, Membership, Any], None]]] = {
    Proposal: _proposal,
    AgreementState: _agreement_state,
    Task: _task,
    Cancel: _cancel,
    StatementReceipt: _receipt,
    CheckpointSent: _checkpoint,
    CertificateIssued: _certificate,
    FinalModel: _final,
    MaskAsked: masking.take,
}
