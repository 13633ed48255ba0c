"""What was ever reserved, from sums: as few releases as each cohort comes to.

ε follows from how many steps were taken at each sampling rate and noise, in whatever order. So
a long record is asked for the sums of its spans, and not for every reservation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance.ledger import sums
from governance.ledger.schema import contributions, reservations
from governance.ledger.spending import Reserved, Spending
from governance.privacy.releases import TRAINING, Release

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

PAID_BY: Final = (
    select(func.max(reservations.c.seq))
    .where(
        reservations.c.site == contributions.c.site,
        reservations.c.round == contributions.c.trained_in,
        reservations.c.seq < contributions.c.seq,
        reservations.c.purpose == TRAINING,
    )
    .scalar_subquery()
)
"""What was reserved for a contribution: in an earlier attempt where that is what a retry sends,
in the round before where it was late for that."""

Parts = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""What was reserved in each span, by site and cohort, the oldest first."""


def spent_of(
    c: Connection, site: str | None = None, size: int | None = None
) -> tuple[Spending, Parts]:
    """Return what every cohort, or one site's, ever reserved, and of which parts.

    Args:
        c: The ledger.
        site: This one's alone.
        size: In the first so many entries.
    """
    spent, parts = Spending(), _parts(c, site, size)
    added = [row for rows in parts.values() for row in _added(rows)]
    for row in sorted(added, key=lambda row: int(row["last_seq"])):
        release = Release(
            float(row["sampling_rate"]), float(row["noise_multiplier"]), int(row["steps"])
        )
        last = _read(_reservation(c, row["last_seq"]), release)
        spent.take(row["site"], last, reservations=int(row["reservations"]))
    return spent, parts


def first_at(
    c: Connection, parts: Sequence[Mapping[str, Any]], limit: float
) -> Row[Any] | None:
    """Return a cohort's first reservation whose stated ε had come to a limit, if one had."""
    reached = [int(row["highest_seq"]) for row in parts if float(row["highest"]) >= limit]
    if not reached:
        return None
    seen = min(reached)  # the first span that has any: the first of them is no later than this
    wanted = select(reservations).where(
        reservations.c.seq >= seen // sums.SPAN * sums.SPAN,
        reservations.c.seq <= seen,
        reservations.c.site == parts[0]["site"],
        reservations.c.cohort == parts[0]["cohort"],
    )
    rows = c.execute(wanted.order_by(reservations.c.seq))
    return next(row for row in rows if float(row.epsilon_total) >= limit)


def _parts(c: Connection, site: str | None, size: int | None) -> Parts:
    parts: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in sums.spendings(c, site, size):
        parts.setdefault((row["site"], row["cohort"]), []).append(row)
    return parts


def _added(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each rate, noise and purpose of a cohort."""
    added: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in rows:
        here = (row["sampling_rate"], row["noise_multiplier"], row["purpose"])
        if here not in added:
            added[here] = {**row, "steps": 0, "reservations": 0}
        for name in ("steps", "reservations"):
            added[here][name] += row[name]
        added[here]["last_seq"] = row["last_seq"]
    return list(added.values())


def _reservation(c: Connection, seq: int) -> Row[Any]:
    return c.execute(select(reservations).where(reservations.c.seq == seq)).one()


def _read(row: Row[Any], release: Release) -> Reserved:
    return Reserved(
        seq=row.seq,
        task=row.task,
        round=row.round,
        attempt=row.attempt,
        cohort=row.cohort,
        release=release,
        delta=float(row.delta),
        stated=float(row.epsilon_total),
        purpose=row.purpose,
    )
