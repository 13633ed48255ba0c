"""Attempts of rounds, for an operator: who is in, who is out and why, who is waited for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from coordinator import masking, site_reports
from coordinator.store import attempts as store
from coordinator.store import record, roundbook
from governance.ledger import abandoned
from governance.ledger.upstream import came_up
from governance.statements import timestamp
from protos.codec import asking
from protos.errors import Refused
from protos.words import Digest, SiteName
from protos.words_operator import AttemptStatus, RoundsReport, SitePart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Row

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Asked, Running
    from protos.words_operator import RoundsRequest

_PARTS: Final = 5000
"""Of all attempts of one answer, so that it is never too large to be sent."""
_OUT: Final = frozenset({"refused", "withdrawn", "cancelled"})


def report(base: Foundation, connection: Connection, wanted: RoundsRequest) -> RoundsReport:
    """Return the attempts that are asked for, the newest first.

    Raises:
        Refused: there is no such round.
    """
    running = roundbook.running(connection)
    most = min(wanted.most, asking.ATTEMPTS)
    attempts: list[AttemptStatus] = []
    parts = 0
    rows = store.newest(connection, round_=wanted.round, before=wanted.before, most=most + 1)
    for row in rows:
        parts += len(record.sites_of(row.sites))
        if len(attempts) == most or (attempts and parts > _PARTS):
            return RoundsReport(tuple(attempts), more=True)
        attempts.append(_attempt(base, connection, row, running))
    if wanted.round and not attempts and not wanted.before:
        raise Refused(
            f"there is no round {wanted.round}",
            todo="See which there are with: concilium-coordinator rounds",
            rule="no-round",
        )
    return RoundsReport(tuple(attempts), more=False)


def _attempt(
    base: Foundation, connection: Connection, row: Row[Any], running: Running | None
) -> AttemptStatus:
    at_work = running is not None and (running.round, running.attempt) == (
        row.round,
        row.attempt,
    )
    now = running if at_work else None
    parts = _now(base, connection, now) if now is not None else _then(row)
    came = came_up(connection, row.round, row.attempt)
    return AttemptStatus(
        round=row.round,
        attempt=row.attempt,
        agreement=Digest(row.agreement),
        state=now.state if now is not None else row.state,
        reason=abandoned.reason_of(connection, row),
        opened_seq=row.opened_seq,
        ended_seq=row.ended_seq or 0,
        opened_at=row.opened_at,
        ended_at=row.ended_at or "",
        deadline=timestamp(now.deadline) if now is not None else "",
        model_in=row.model_in,
        model_out=row.model_out or "",
        sites=tuple(parts),
        updates=came.updates,
        update_bytes=came.size_bytes,
        down_bytes=base.down.of((row.round, row.attempt)) if now is not None else 0,
    )


def _now(base: Foundation, connection: Connection, running: Running) -> Iterator[SitePart]:
    consents: Mapping[str, str] = record.consent_states(connection, running.agreement)
    steps = masking.awaited(connection, running)
    for site, asked in sorted((running.training or running.measuring).items()):
        now = site_reports.status(
            base, site, running, consents.get(site, "not given"), step=steps.get(site, "")
        )
        yield SitePart(site, *_standing(asked), now=now)


def _standing(asked: Asked) -> tuple[str, str]:
    if asked.state == "in":
        return "in", ""
    if asked.state in _OUT:
        return "out", asked.reason or asked.state
    return "waited for", ""


def _then(row: Row[Any]) -> Iterator[SitePart]:
    inside = set(record.sites_of(row.sites_in))
    out: Mapping[str, str] = json.loads(row.sites_out or "{}")
    for site in sorted(record.sites_of(row.sites)):
        part = "in" if site in inside else "out"
        yield SitePart(SiteName(site), part, out.get(site, ""))
