"""Sums over spans of entries: made with a span's last entry, added up by whoever asks.

A question about the whole record would read every row of a table; this reads a row for each
span, and the rows of the entries since the last one. The sums are projections like any other:
made in the entry's transaction, made again by `rebuild`, compared by `verify`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select

from governance.ledger.schema import (
    entries,
    evaluations,
    measured,
    reservations,
    spent,
    tallied,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, Select, Table

SPAN: Final = 8192
"""How many entries a span has. Another number would be another record: all copies have it."""
_TALLY: Final = ("kind", "site", "agreement", "entries", "first_seq", "last_seq")
_GROUP: Final = ("site", "cohort", "sampling_rate", "noise_multiplier", "purpose")


def make(c: Connection, seq: int) -> None:
    """Write the sums of the span that an entry ends, once all that follows from it is written.

    Most entries end none.
    """
    if (seq + 1) % SPAN:
        return
    for table, rows in (
        (tallied, tallies_from(c, seq + 1 - SPAN)),
        (spent, spent_from(c, seq + 1 - SPAN)),
        (measured, measured_from(c, seq + 1 - SPAN)),
    ):
        if rows:
            c.execute(insert(table), [{**row, "until_seq": seq} for row in rows])


def tallies(c: Connection) -> list[Mapping[str, Any]]:
    """Return how many entries there are of each kind, site and agreement, in parts to add."""
    since = _summed(c)
    return [*_stored(c, tallied, since), *tallies_from(c, since)]


def spendings(
    c: Connection, site: str | None = None, size: int | None = None
) -> list[Mapping[str, Any]]:
    """Return what was reserved, all or by one site, in parts to add, the oldest first.

    Args:
        c: The ledger.
        site: This one's alone.
        size: In the first so many entries.
    """
    since = _summed(c, size)
    stored = select(spent).where(spent.c.until_seq < since).order_by(spent.c.until_seq)
    if site is not None:
        stored = stored.where(spent.c.site == site)
    later = spent_from(c, since, size)
    return _rows(c, stored) + [row for row in later if site in {None, row["site"]}]


def measurements(
    c: Connection, site: str | None = None, size: int | None = None
) -> dict[str, int]:
    """Return by mechanism how often figures of held-out patients left, of all or of one."""
    counted: dict[str, int] = {}
    since = _summed(c, size)
    for row in (*_stored(c, measured, since), *measured_from(c, since, size)):
        if site in {None, row["site"]}:
            mechanism = str(row["mechanism"])
            counted[mechanism] = counted.get(mechanism, 0) + int(row["evaluations"])
    return counted


def tallies_from(c: Connection, since: int) -> list[Mapping[str, Any]]:
    """Count entries from a seq on, by kind, site and agreement."""
    # Not grouped by the database: it would follow the index of kinds, through all entries.
    wanted = select(*entries.c["kind", "site", "agreement", "seq"])
    counted: dict[tuple[object, ...], list[int]] = {}
    for kind, site, agreement, seq in c.execute(
        wanted.where(*_span(entries, since)).order_by(entries.c.seq)
    ):
        found = counted.setdefault((kind, site or "", agreement or ""), [0, seq, seq])
        found[0] += 1
        found[2] = seq
    return [dict(zip(_TALLY, (*alike, *each), strict=True)) for alike, each in counted.items()]


def spent_from(c: Connection, since: int, size: int | None = None) -> list[Mapping[str, Any]]:
    """Sum what was reserved from a seq on, of each cohort at each rate and noise."""
    wanted = reservations.c[(*_GROUP, "steps", "seq", "epsilon_total")]
    question = select(*wanted).where(*_span(reservations, since, size))
    return _added(c.execute(question.order_by(reservations.c.seq)))


def measured_from(
    c: Connection, since: int, size: int | None = None
) -> list[Mapping[str, Any]]:
    """Count figures of held-out patients from a seq on, by site and mechanism."""
    alike = (evaluations.c.site, evaluations.c.mechanism)
    counted = func.count().label("evaluations")
    question = select(*alike, counted).where(*_span(evaluations, since, size))
    return _rows(c, question.group_by(*alike))


def _added(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        steps, seq, stated = row[-3:]
        group = tuple(row[:-3])
        found = sums.get(group)
        if found is None:
            begun = dict(zip(_GROUP, group, strict=True))
            sums[group] = found = {**begun, "steps": 0, "reservations": 0}
            found |= {"last_seq": seq, "highest": stated, "highest_seq": seq}
        found["steps"] += steps
        found["reservations"] += 1
        found["last_seq"] = seq
        if stated != found["highest"] and Decimal(stated) > Decimal(found["highest"]):
            found |= {"highest": stated, "highest_seq": seq}
    return sorted(sums.values(), key=lambda row: int(row["last_seq"]))


def _span(
    table: Table, since: int, size: int | None = None
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    end = since + SPAN if size is None else min(since + SPAN, size)
    return table.c.seq >= since, table.c.seq < end


def _summed(c: Connection, size: int | None = None) -> int:
    """Return from which entry on no span was ended yet, or was in the first so many entries."""
    if size is None:
        last = c.execute(select(func.max(entries.c.seq))).scalar()
        size = 0 if last is None else int(last) + 1
    return size // SPAN * SPAN


def _stored(c: Connection, table: Table, until: int) -> list[Mapping[str, Any]]:
    return _rows(c, select(table).where(table.c.until_seq < until).order_by(table.c.until_seq))


def _rows(c: Connection, question: Select[Any]) -> list[Mapping[str, Any]]:
    return [row._asdict() for row in c.execute(question)]
