"""Which sites a round may be opened with now, and else what is waited for, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from coordinator.store import record
from governance.agreement.schedule import may_open, next_opening

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from protos.words import SiteName


@dataclass(frozen=True, slots=True)
class Readiness:
    """Who could take part in a round that is opened now: sites with their declared patients."""

    ready: Mapping[SiteName, int]


def readiness(
    base: Foundation, connection: Connection, document: Document, now: datetime
) -> Readiness:
    """Return which sites are ready: they consent now, are connected and not revoked."""
    barred = record.revoked(connection)
    members = record.declared_patients(connection, document.digest, now)
    here = base.sessions.connected - barred
    return Readiness({site: members[site] for site in sorted(members.keys() & here)})


def may_begin(agreement: Agreement, found: Readiness, now: datetime) -> bool:
    """Tell whether a round may be opened now."""
    if not agreement.valid.from_ <= now < agreement.valid.until:
        return False
    enough = len(found.ready) >= agreement.sites.ready_at_least
    return enough and may_open(agreement.schedule.window, now, agreement.round.deadline)


def begins_at(agreement: Agreement, now: datetime) -> datetime | None:
    """Return when time alone next lets a round be opened, in UTC; None when it never does."""
    start = max(now, agreement.valid.from_)
    opening = next_opening(agreement.schedule.window, start, agreement.round.deadline)
    if opening is None or opening >= agreement.valid.until:
        return None
    return opening


def reason(agreement: Agreement, found: Readiness, now: datetime) -> str:
    """Return what is waited for while no round is open, with the time where there is one."""
    if now >= agreement.valid.until:
        return f"the agreement's time ended on {_when(agreement.valid.until, 'UTC')}"
    opening, window = begins_at(agreement, now), agreement.schedule.window
    if opening is None:
        return "no round can be opened any more within the agreement's time"
    if opening > now:
        zone = window.zone if window is not None else "UTC"
        return f"waits for its hours: rounds may open again on {_when(opening, zone)}"
    missing = f"{len(found.ready)} of {agreement.sites.ready_at_least}"
    return f"waits until enough sites are ready: {missing}"


def _when(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} ({zone})"
