"""Where the federation stands, for an operator's eyes: who is waited for, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from coordinator import waiting
from coordinator.store import kept, record, roundbook
from governance import statements
from governance.ledger import store as ledger
from protos.words import PendingAct, RosterKey, SiteName, SiteStatus, StatusReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document


def report(base: Foundation, connection: Connection, operator: str) -> StatusReport:
    """Return the status as this operator's program is shown it."""
    force, proposed = (
        record.agreement_in_force(connection),
        record.agreement_proposed(connection),
    )
    running = roundbook.running(connection)
    planned = force.agreement.schedule.rounds if force else 0
    counted = record.rounds_of_schedule if force else record.rounds_committed
    chain = ledger.chain_of(connection, record.operator_keys(connection)[operator])
    last = record.last_round(connection)
    return StatusReport(
        federation=base.federation,
        state=_state(base, connection, force, proposed, running),
        agreement=force.digest if force else "",
        proposed=proposed.digest if proposed else "",
        round=last[0],
        attempt=last[1],
        round_state=running.state if running else last[2],
        sites=_sites(
            base, connection, proposed or record.agreement_that_binds(connection), running
        ),
        enrolled=tuple(RosterKey(*row) for row in record.enrolled(connection)),
        pending=_pending(connection),
        operator_counter=chain.counter,
        operator_previous=chain.previous,
        ledger_size=ledger.head(connection).size,
        root=base.chronicle.log.root,
        rounds_committed=counted(connection),
        rounds_planned=planned,
        document=force.raw if force else b"",
    )


def _state(
    base: Foundation,
    connection: Connection,
    force: Document | None,
    proposed: Document | None,
    running: Running | None,
) -> str:
    paused = kept.note(connection, "paused")
    if paused:
        return f"paused: {paused}"
    if running is not None:
        quality = _quality(connection, force)
        return f"round {running.round}, attempt {running.attempt}: {running.state}{quality}"
    if force is not None:
        now = base.now()
        found = waiting.readiness(base, connection, force, now)
        return waiting.reason(force.agreement, found, now)
    if proposed is not None:
        return "waits for the sites' consent"
    if record.agreement_digests(connection, "complete"):
        return "the agreement is complete"
    return "no agreement is proposed"


def _quality(connection: Connection, force: Document | None) -> str:
    """Say how good the global model was when it was last judged."""
    history = json.loads(kept.note(connection, "history") or "[]")
    gate = force.agreement.quality.accept_if if force else None
    return f" (last {gate.metric} {history[-1]:.3f})" if history and gate else ""


def _sites(
    base: Foundation,
    connection: Connection,
    document: Document | None,
    running: Running | None,
) -> tuple[SiteStatus, ...]:
    consents = record.consent_states(connection, document.digest) if document else {}
    barred = record.revoked(connection)
    return tuple(
        _site(base, SiteName(name), consents, running, revoked=name in barred)
        for name in sorted(record.officer_keys(connection))
    )


def _site(
    base: Foundation,
    name: SiteName,
    consents: Mapping[str, str],
    running: Running | None,
    *,
    revoked: bool,
) -> SiteStatus:
    session = base.sessions.of(name)
    consent = consents.get(name, "not given")
    asked = None
    if running is not None:
        asked = running.evaluating.get(name) or running.training.get(name)
    doing = f"{asked.kind.value}: {asked.state}" if asked else "idle"
    return SiteStatus(
        name=name,
        connected=session is not None,
        consent="revoked" if revoked else consent,
        doing=doing,
        waiting_for=_waiting_for(connected=session is not None, consent=consent, doing=doing),
        steps_done=session.steps_done if session else 0,
    )


def _waiting_for(*, connected: bool, consent: str, doing: str) -> str:
    if not connected:
        return "its agent to connect: concilium-site run"
    if consent != "in-force":
        return "its officer: concilium-site review, then consent"
    if doing.endswith((": sent", ": accepted")):
        return "its task to end"
    return ""


def _pending(connection: Connection) -> tuple[PendingAct, ...]:
    acts = []
    for act in kept.waiting_acts(connection):
        statement = statements.read(act.envelope)
        what = str(statement.body.get("act", statement.kind))
        acts.append(PendingAct(statement.digest, what, statement.actor, act.envelope))
    return tuple(acts)
