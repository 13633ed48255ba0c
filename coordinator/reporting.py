"""Where the federation stands, for an operator's eyes: who is waited for, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator import alarms, ending, site_reports, succession, waiting
from coordinator.store import holders, kept, pausing, record, roundbook
from governance import statements
from governance.ledger import store as ledger
from protos.words_operator import PendingAct, RosterKey, StatusReport

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document

_SHOWN: Final = 60
"""Figures of the last models that are shown."""


def report(base: Foundation, connection: Connection, operator: str) -> StatusReport:
    """Return the status as this operator's program is shown it."""
    force, proposed = (
        record.agreement_in_force(connection),
        record.agreement_proposed(connection),
    )
    by_itself = succession.change_due_at(connection) is not None
    asked = None if by_itself else proposed  # nobody is to answer what takes force by itself
    over = None if force or proposed else record.agreement_that_binds(connection)
    running = roundbook.running(connection)
    planned = force.agreement.schedule.rounds if force else 0
    counted = record.rounds_of_schedule if force else record.rounds_committed
    chain = ledger.chain_of(connection, holders.operator_keys(connection)[operator])
    last = record.last_round(connection)
    return StatusReport(
        federation=base.federation,
        state=_state(base, connection, force, proposed, running),
        agreement=force.digest if force else "",
        proposed=proposed.digest if proposed else "",
        round=last[0],
        attempt=last[1],
        round_state=running.state if running else last[2],
        sites=site_reports.statuses(
            base, connection, force or over, asked, over=over is not None
        ),
        enrolled=tuple(RosterKey(*row) for row in holders.enrolled(connection)),
        pending=_pending(connection),
        operator_counter=chain.counter,
        operator_previous=chain.previous,
        ledger_size=ledger.head(connection).size,
        root=base.chronicle.log.root,
        rounds_committed=counted(connection),
        rounds_planned=planned,
        document=force.raw if force else b"",
        metric=_metric(force),
        quality=tuple(kept.history(connection)[-_SHOWN:]),
        alarms=alarms.alarms(base, connection),
        proposed_material=proposed.material if proposed else "",
        dissents=site_reports.dissents(connection, proposed),
    )


def _state(
    base: Foundation,
    connection: Connection,
    force: Document | None,
    proposed: Document | None,
    running: Running | None,
) -> str:
    paused = pausing.why(connection)
    ended = bool(record.agreement_digests(connection, *record.ENDED))
    if ended and running is None and force is None and proposed is None:
        return ending.words(connection)
    if paused:
        return f"paused: {paused}"
    if running is not None:
        quality = _quality(connection, force)
        return f"round {running.round}, attempt {running.attempt}: {running.state}{quality}"
    if force is not None:
        now = base.now()
        found = waiting.readiness(base, connection, force, now)
        change = succession.words(connection)
        return waiting.reason(force.agreement, found, now) + (f"; {change}" if change else "")
    if proposed is not None:
        return "waits for the sites' consent"
    return "no agreement is proposed"


def _quality(connection: Connection, force: Document | None) -> str:
    """Say how good the global model was when it was last judged."""
    history, metric = kept.history(connection), _metric(force)
    return f" (last {metric} {history[-1]:.3f})" if history and metric else ""


def _metric(force: Document | None) -> str:
    gate = force.agreement.quality.accept_if if force else None
    return gate.metric if gate else ""


def _pending(connection: Connection) -> tuple[PendingAct, ...]:
    acts = []
    for act in kept.waiting_acts(connection):
        statement = statements.read(act.envelope)
        what = str(statement.body.get("act", statement.kind))
        acts.append(PendingAct(statement.digest, what, statement.actor, act.envelope))
    return tuple(acts)
