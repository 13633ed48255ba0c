"""Which sites a round may be opened with now, and else what is waited for, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from coordinator.store import holders, record, roundbook
from governance.agreement.schedule import may_open, next_opening
from governance.hours import Span, runs_into

LASTING: Final = frozenset(
    {
        *("secure-aggregation-required", "no-isolation"),
        *("model-not-approved", "minimum-sites", "purpose-not-allowed", "unsafe-terms"),
        *(
            "worker-memory",
            "other-cohort",
            "not-in-roster",
            "data-contract",
            "budget-exhausted",
        ),
    }
)
"""A site's refusals that last until its administrator acts."""

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
    """Who could take part in a round that is opened now, and whose hours keep it from that.

    Attributes:
        ready: Sites with their declared patients.
        quiet: The quiet hours that the round would run into, of sites ready but for them.
        unwilling: Sites that refuse this agreement's tasks, each with its rule.
    """

    ready: Mapping[SiteName, int]
    quiet: Mapping[SiteName, Span]
    unwilling: Mapping[SiteName, str]


def readiness(
    base: Foundation, connection: Connection, document: Document, now: datetime
) -> Readiness:
    """Return which sites are ready: they consent now, are connected, willing and not quiet.

    A round that counts on a site which is bound to refuse costs the others their privacy. So
    does one with a site that has just spoilt it: where others are enough it is not asked again.
    """
    barred = holders.revoked(connection)
    members = record.declared_patients(connection, document.digest, now)
    here = sorted(members.keys() & base.sessions.connected - barred)
    deadline = now + timedelta(seconds=document.agreement.round.deadline)
    quiet, unwilling = {}, {}
    for site in here:
        rule = unwilling_by(base, site, document.digest)
        if rule:
            unwilling[site] = rule
            continue
        span = quiet_of(base, site)
        if span is not None and runs_into(span, now, deadline):
            quiet[site] = span
    left = [site for site in here if site not in {*quiet, *unwilling}]
    spoilt = record.named(connection)
    honest = [site for site in left if site not in spoilt]
    enough = len(honest) >= document.agreement.sites.ready_at_least
    ready = {site: members[site] for site in (honest if enough else left)}
    return Readiness(ready, quiet, unwilling)


def note_unwilling(base: Foundation, connection: Connection, site: SiteName) -> None:
    """Remember that a site refused its task by a rule that no other attempt changes."""
    running, session = roundbook.running(connection), base.sessions.of(site)
    asked = running.training.get(site) if running is not None else None
    if running is None or session is None or asked is None or asked.reason not in LASTING:
        return
    session.unwilling = (running.agreement, asked.reason)


def unwilling_by(base: Foundation, site: SiteName, agreement: str) -> str:
    """Return the rule by which a connected site refuses an agreement's tasks, or nothing."""
    session = base.sessions.of(site)
    told = session.unwilling if session is not None else None
    return told[1] if told is not None and told[0] == agreement else ""


def quiet_of(base: Foundation, site: SiteName) -> Span | None:
    """Return the quiet hours that a connected site has told of."""
    session = base.sessions.of(site)
    if session is None or session.quiet is None:
        return None
    return Span(session.quiet.start, session.quiet.end)


def may_begin(agreement: Agreement, found: Readiness, now: datetime) -> bool:
    """Tell whether a round may be opened now."""
    if not agreement.valid.from_ <= now < agreement.valid.until:
        return False
    enough = len(found.ready) >= agreement.sites.ready_at_least
    return enough and may_open(agreement.schedule.window, now, agreement.round.deadline)


def look_again_at(agreement: Agreement, found: Readiness, now: datetime) -> datetime | None:
    """Return when time alone may let a round be opened that may not be now, or None."""
    opening = begins_at(agreement, now)
    moments = [span.end for span in found.quiet.values()]
    if opening is not None:
        moments.append(opening)
    return min((moment for moment in moments if moment > now), default=None)


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
    hours = "".join(f"; {site} has {quiet_words(span)}" for site, span in found.quiet.items())
    refusing = "".join(f"; {site} refuses ({rule})" for site, rule in found.unwilling.items())
    return f"waits until enough sites are ready: {missing}{hours}{refusing}"


def quiet_words(span: Span) -> str:
    """Return a site's quiet hours as a person reads them; in UTC, as its zone is its own."""
    start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
    return f"quiet hours from {start:%a %H:%M} to {end:%a %Y-%m-%d %H:%M} (UTC)"


def _when(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} ({zone})"
