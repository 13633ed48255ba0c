"""What several questions read: entries, what they disclose, and how things stood at a time."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, bindparam, func, select

from governance import statements
from governance.ledger.entry import Entry
from governance.ledger.prepared import Prepared
from governance.ledger.schema import disclosures, entries, rounds
from governance.ledger.standing import KINDS, Standing
from governance.statements import parse_time, timestamp
from protos.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from governance.statements import Statement

_ENVELOPE: Final = select(entries.c.envelope).where(entries.c.seq == bindparam("seq"))
_RECEIVED: Final = Prepared(
    select(entries.c.received_at).where(entries.c.seq == bindparam("seq"))
)


def standing_at(c: Connection, moment: datetime, until: int | None = None) -> Standing:
    """Return how agreements and consents stood at a time, or before entry `until`."""
    standing = Standing()
    question = select(entries.c.seq, entries.c.received_at, entries.c.envelope).where(
        entries.c.kind.in_(KINDS), entries.c.received_at <= timestamp(moment)
    )
    if until is not None:
        question = question.where(entries.c.seq < until)
    for row in c.execute(question.order_by(entries.c.seq)):
        standing.take(
            Entry(row.seq, parse_time(row.received_at), statements.read(row.envelope))
        )
    return standing


class Standings:
    """How agreements and consents stood before one entry after another, in one walk."""

    def __init__(self, c: Connection) -> None:
        self._standing = Standing()
        changes = select(entries.c.seq, entries.c.received_at, entries.c.envelope)
        wanted = changes.where(entries.c.kind.in_(KINDS)).order_by(entries.c.seq)
        self._changes = iter(c.execute(wanted))
        self._next = next(self._changes, None)

    def before(self, seq: int) -> Standing:
        """Return how things stood before an entry; it comes after those asked for before."""
        while self._next is not None and self._next.seq < seq:
            change = self._next
            at = parse_time(change.received_at)
            self._standing.take(Entry(change.seq, at, statements.read(change.envelope)))
            self._next = next(self._changes, None)
        return self._standing


def size_at(c: Connection, moment: datetime | None) -> int | None:
    """Return how many entries there were at a time, which never goes back; None: all of now."""
    if moment is None:
        return None
    newest = c.execute(select(func.max(entries.c.seq))).scalar()
    size = 0 if newest is None else int(newest) + 1
    return bisect_right(range(size), timestamp(moment), key=partial(received_at, c))


def as_of(moment: datetime | None) -> dict[str, str]:
    """Return what an answer's facts say of the time that was asked about: none is now."""
    return {} if moment is None else {"as_of": timestamp(moment)}


def attempts_of(c: Connection, number: int) -> list[Row[Any]]:
    """Return the attempts of a round in order, or raise Refused where there is none."""
    attempts = list(
        c.execute(select(rounds).where(rounds.c.round == number).order_by(rounds.c.attempt))
    )
    if not attempts:
        raise Refused(
            f"there is no round {number} in this ledger",
            todo="See which there are with: concilium-ledger rounds",
            rule="no-round",
        )
    return attempts


def of_attempt(
    c: Connection,
    table: Any,  # noqa: ANN401 -- any of ours
    site: str,
    attempt: Row[Any],
    *more: ColumnElement[bool],
) -> Row[Any] | None:
    """Return a site's last row of a table for an attempt, of those that fit `more`."""
    return c.execute(
        select(table)
        .where(
            table.c.site == site,
            table.c.round == attempt.round,
            table.c.attempt == attempt.attempt,
            *more,
        )
        .order_by(table.c.seq.desc())
        .limit(1)
    ).first()


def statement_at(c: Connection, seq: int) -> Statement:
    """Return the statement of an entry."""
    return statements.read(c.execute(_ENVELOPE, {"seq": seq}).scalar_one())


def received_at(c: Connection, seq: int) -> str:
    """Return when an entry was received."""
    return str(_RECEIVED.first(c, seq=seq).received_at)


def disclosed(c: Connection, seq: int) -> dict[str, str]:
    """Return what is disclosed of an entry, by label."""
    rows = c.execute(
        select(disclosures.c.label, disclosures.c.value).where(disclosures.c.seq == seq)
    )
    return {row.label: row.value for row in rows}


def names_in(text: str | None) -> tuple[str, ...]:
    """Return the names of a projection's JSON list, none where there is no list yet."""
    return _names(text) if text else ()


@lru_cache(maxsize=256)
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
