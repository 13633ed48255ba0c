"""What was ever reserved, summed by the database: as few releases as each cohort comes to.

ε follows from how many steps were taken at each sampling rate and noise, in whatever order. So
a long record is asked for the sums, which an index answers, and not for every reservation.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Float, Select, case, cast, func, select

from governance.ledger.schema import reservations
from governance.ledger.spending import Reserved, Spending
from governance.privacy.releases import Release

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

_R: Final = reservations.c
_STATED: Final = case(
    (_R.epsilon_total == "inf", nextafter(inf, 0)), else_=cast(_R.epsilon_total, Float(53))
)
"""ε as it was stated, as a number; SQLite has no word for what is without bound."""
_SUMS: Final = (
    select(_R.site, _R.cohort, _R.sampling_rate, _R.noise_multiplier, _R.purpose)
    .add_columns(func.sum(_R.steps).label("steps"), func.count().label("reservations"))
    .add_columns(func.max(_R.seq).label("last"))
    .group_by(_R.site, _R.cohort, _R.sampling_rate, _R.noise_multiplier, _R.purpose)
    .order_by(func.max(_R.seq))
)


def spent_of(c: Connection, site: str | None = None) -> Spending:
    """Return what every cohort, or those of one site, ever reserved."""
    spent = Spending()
    for row in c.execute(_of(_SUMS, site)).all():
        release = Release(float(row.sampling_rate), float(row.noise_multiplier), int(row.steps))
        last = _read(c.execute(select(reservations).where(_R.seq == row.last)).one(), release)
        spent.take(row.site, last, reservations=int(row.reservations))
    return spent


def first_at(
    c: Connection, site: str, cohort: str, limits: Sequence[float]
) -> list[Row[Any] | None]:
    """Return for each limit the first reservation whose stated ε had come to it, if one had."""
    asked = [
        func.min(case((limit <= _STATED, _R.seq))).label(f"at{place}")
        for place, limit in enumerate(limits)
    ]
    seqs = c.execute(select(*asked).where(_R.site == site, _R.cohort == cohort)).one()
    return [
        None if seq is None else c.execute(select(reservations).where(_R.seq == seq)).one()
        for seq in seqs
    ]


def _of(question: Select[Any], site: str | None) -> Select[Any]:
    return question if site is None else question.where(_R.site == site)


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
