"""An update on its way: kept, said, sent, and in the ledger at last."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from governance.consent import Consent
from governance.ledger.lateness import TRAINED_IN
from governance.privacy.releases import LOADER, UNIT
from protos.errors import Refused, Unavailable
from site_agent import agent, dating, lateness, progress, transfers, voice
from site_agent.agent import Event, TaskState
from site_agent.inbox import CHAIN_RULES
from site_agent.progress import Told, place_of
from site_agent.standing import standing_of
from site_agent.store import carried, journal, work
from site_agent.store.carried import DROPPED, PENDING, Control
from site_agent.store.notes import RELINK, set_note
from site_agent.store.work import Update
from site_agent.voice import Saying
from site_agent.worker import worker_digest

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.statements import Statement
    from protos.words import Digest, Receipt, Task, UploadRef
    from site_agent.link import Link
    from site_agent.membership import Membership
    from site_agent.store.work import Held
    from site_agent.worker import Trained


def keep(c: Connection, m: Membership, held: Held, made: Trained) -> None:
    """Write down what a training made, and that it is to be sent."""
    now = work.find(c, m.federation, held.task.task)
    if now is None or now.state in agent.ENDS:
        return
    place = str(made.update.relative_to(m.premises.state))
    update = Update(made.digest, made.size, place, made.steps)
    work.keep_update(c, m.federation, held.task.task, update)
    counts = now.state is not TaskState.LATE  # then the ledger has told of its round already
    keep_control(c, m, held.task, made, state=PENDING if counts else DROPPED)
    progress.happen(c, m, now, Event.UPDATE_READY, Told())


def keep_control(
    c: Connection, m: Membership, task: Task, made: Trained, *, state: str = PENDING
) -> None:
    """Keep c_i⁺ and what compression left out; they count when the ledger says that it did."""
    control, residual = (
        "" if path is None else str(path.relative_to(m.premises.state))
        for path in (made.control, made.residual)
    )
    if control or residual:
        place = (task.agreement, task.round, task.attempt)
        carried.keep_control(c, m.federation, Control(*place, control, state, residual))


@dataclass(frozen=True, slots=True)
class Delivered:
    """An update that is in the ledger, by this very statement."""

    statement: Digest
    receipt: Receipt


async def send(
    m: Membership, link: Link, held: Held, ref: UploadRef, path: Path, *, begun: bool = True
) -> Delivered:
    """Sign the contribution, send the update from where the coordinator has it.

    `begun` is whether any of it may have been sent before.

    Raises:
        Unavailable: the line broke, or the chain must be mended first; call again.
        Refused: the coordinator does not take it, and its statement is void; or the task
            ended meanwhile.
    """
    statement = await m.store.do(partial(_said, m=m, held=held, ref=ref))
    try:
        receipt = await transfers.upload(link, ref, path, statement.envelope, begun=begun)
    except Refused as refusal:
        await m.store.do(partial(_refused, m=m, statement=statement, rule=refusal.rule))
        if refusal.rule in CHAIN_RULES:
            raise Unavailable("the chain is being mended", rule=refusal.rule) from None
        if refusal.rule == dating.RULE:  # said anew by the clock of the next try
            raise Unavailable(refusal.what, rule=refusal.rule) from None
        raise
    return Delivered(statement.digest, receipt)


def sent(c: Connection, m: Membership, held: Held, delivered: Delivered) -> None:
    """Write down that an update is in the ledger."""
    journal.mark(
        c,
        m.federation,
        delivered.statement,
        status=journal.ACCEPTED,
        seq=delivered.receipt.seq,
    )
    now = work.find(c, m.federation, held.task.task)
    if now is not None:
        progress.happen(c, m, now, Event.SENT, Told())


def _said(c: Connection, m: Membership, held: Held, ref: UploadRef) -> Statement:
    """Return the contribution's statement: the one on its way, or one said anew.

    `ref` is what is sent: the update, or the masked vector that was made of it.
    """
    task, update = held.task, held.update
    assert update is not None
    _check_still_sent(c, m, task)
    for status in (journal.ACCEPTED, journal.FLYING):
        said = journal.of_task(
            c, m.federation, task.task, kind="contribution-made", status=status
        )
        if said is not None:
            return said.statement
    spent = work.spent_on(c, m.cohort)
    standing = standing_of(c, m.federation, task.agreement)
    trained_for = lateness.trained_for(c, m, held)
    body: dict[str, Any] = {
        **place_of(task),
        "base": trained_for.model.digest,
        "update": ref.digest,
        "size": ref.size,
        "steps": update.steps,
        "loader": LOADER,
        "unit": UNIT,
        "epsilon": spent[-1].epsilon_total if spent else "0",
        "worker": worker_digest(),
        "declared_patients": standing.declared_patients,
    }
    if trained_for.round != task.round:
        body[TRAINED_IN] = trained_for.round
    if task.masks:
        body["of"] = _made_of(m, update.digest)
    saying = Saying("contribution-made", body, "budget", task=task.task)
    return voice.contribute(c, m.voice, saying)


def _made_of(m: Membership, update: Digest) -> str:
    """Return what tells a masked update from others of this site, and nothing of what it is.

    A retry masks the same update anew; whoever reads the ledger sees that it was paid for once.
    """
    return hmac.new(m.premises.held_out_secret(), update.encode(), hashlib.sha256).hexdigest()


def _check_still_sent(c: Connection, m: Membership, task: Task) -> None:
    """Refuse to send what another process ended since. Stops an upload racing a withdrawal."""
    now = work.find(c, m.federation, task.task)
    if now is None or now.state is not TaskState.SENDING:
        rule = now.rule if now is not None else ""
        raise Refused("the task has ended", rule=rule or "cancelled")
    if standing_of(c, m.federation, task.agreement).at(m.now()) is not Consent.IN_FORCE:
        raise Refused("this site's consent is not in force any more", rule="no-consent")


def _refused(c: Connection, m: Membership, statement: Statement, rule: str) -> None:
    voice.give_up(c, m.voice, statement.digest, rule=rule or "refused")
    if rule in CHAIN_RULES:
        set_note(c, m.federation, RELINK, "yes")
