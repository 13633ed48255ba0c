"""What the record says of exits: which are open, and who is still shown how its own ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import func, select

from coordinator.store import quality, record
from governance.exits import Exit, Scope, Step
from governance.ledger.prepared import Prepared
from governance.ledger.project_exits import OWN_WISH, check_stays, leaves, may_enrol_again
from governance.ledger.schema import (
    certificates,
    consents,
    entries,
    exit_steps,
    exits,
    reservations,
    rounds,
)
from governance.privacy.releases import Release
from governance.statements import parse_time
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

__all__ = ["check_stays", "may_enrol_again"]
Judged: TypeAlias = tuple[int, int, Digest]
LINGERS: Final = timedelta(seconds=120)
"""How long a hospital that left may still read the log, to keep the record of its own exit."""
_UNFINISHED: Final = Prepared(
    select(exits).where(exits.c.state != Exit.CLOSED.value).order_by(exits.c.seq)
)
_BARRED: Final = Prepared(
    select(
        *(exits.c.site, exits.c.cause, exits.c.state, exits.c.changed_seq),
        *(exit_steps.c.seq, entries.c.received_at),
    )
    .join(exits, exits.c.seq == exit_steps.c.exit_seq)
    .join(entries, entries.c.seq == exit_steps.c.seq)
    .where(
        exit_steps.c.seq.in_(
            select(func.max(exit_steps.c.seq))
            .where(exit_steps.c.step == Step.BAR.value)
            .group_by(exit_steps.c.site)
        ),
        exits.c.scope == Scope.FEDERATION.value,
    )
    .order_by(exit_steps.c.seq)
)
"""Made once, as every event asks them."""


def unfinished(connection: Connection) -> list[Row[Any]]:
    """Return the exits that are not closed, the oldest first."""
    return _UNFINISHED.all(connection)


def steps_of(connection: Connection, seq: int) -> list[int]:
    """Return the seqs of an exit's steps, in order."""
    steps = select(exit_steps.c.seq).where(exit_steps.c.exit_seq == seq)
    return sorted(connection.execute(steps).scalars())


def round_at(connection: Connection, seq: int, site: str) -> int | None:
    """Return the round of a site that was at work when an entry was written, or None."""
    row = connection.execute(
        select(rounds)
        .where(rounds.c.opened_seq < seq)
        .order_by(rounds.c.opened_seq.desc())
        .limit(1)
    ).first()
    if row is None or (row.ended_seq is not None and row.ended_seq < seq):
        return None
    return int(row.round) if site in record.sites_of(row.sites) else None


def is_out(connection: Connection, site: str) -> bool:
    """Tell whether a site has left, or asked to, and did not enrol again."""
    return leaves(connection, site) is not None


def lingering(connection: Connection, now: datetime) -> dict[SiteName, datetime]:
    """Return who left of its own wish and is still shown the log, each with the end of that.

    It ends as soon as the site has cosigned the end of its exit.
    """
    found = {}
    for row in _barred(connection):
        end = parse_time(row.received_at) + LINGERS
        closed = row.changed_seq if row.state == Exit.CLOSED.value else None
        seen = closed is not None and record.cosigned_size(connection, row.site) > closed
        if row.cause == OWN_WISH and now < end and not seen:
            found[SiteName(row.site)] = end
    return found


def gone(connection: Connection, now: datetime) -> dict[str, frozenset[str]]:
    """Return the serials that count no more, by the site that left with them."""
    still = lingering(connection, now)
    serials: dict[str, frozenset[str]] = {}
    for row in _barred(connection):
        if row.site in still:
            continue
        mine = (certificates.c.name == row.site, certificates.c.seq < row.seq)
        known = connection.execute(select(certificates.c.serial).where(*mine)).scalars()
        serials[row.site] = serials.get(row.site, frozenset()) | set(known)
    return serials


def undone_by(connection: Connection, step: int) -> list[Judged]:
    """Return (round, attempt, model) of the rounds that a step has undone, in order."""
    rows = connection.execute(
        select(rounds).where(rounds.c.undone_seq == step).order_by(rounds.c.ended_seq)
    )
    return [(int(row.round), int(row.attempt), Digest(row.model_out)) for row in rows]


def last_judged(connection: Connection) -> Judged | None:
    """Return (round, attempt, model) of the last round that counts and has figures."""
    rows = connection.execute(
        select(rounds)
        .where(rounds.c.state == "closed", rounds.c.undone_seq.is_(None))
        .order_by(rounds.c.ended_seq.desc())
    )
    for row in rows:
        one = (int(row.round), int(row.attempt), Digest(row.model_out))
        if quality.said(connection, *one):
            return one
    return None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a site has reserved of a cohort in this federation, and how far it may go."""

    releases: tuple[Release, ...]
    cap: float
    delta: float


def spent_by(connection: Connection, site: str, agreement: str) -> Spent:
    """Return what a site spent of the cohort that it consented to an agreement with."""
    consent = connection.execute(
        select(consents).where(consents.c.site == site, consents.c.agreement == agreement)
    ).one()
    rows = connection.execute(
        select(reservations).where(
            reservations.c.site == site, reservations.c.cohort == consent.cohort
        )
    )
    releases = tuple(
        Release(float(row.sampling_rate), float(row.noise_multiplier), int(row.steps))
        for row in rows
    )
    return Spent(releases, float(consent.cap), float(consent.delta))


def _barred(connection: Connection) -> list[Row[Any]]:
    """Return the exits whose credentials are revoked, with when; the newest of a site last."""
    return _BARRED.all(connection)
