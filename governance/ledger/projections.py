"""Everything that follows from the entries, made again from nothing.

A projection reads projections alone, so the tables of a log can be rebuilt by letting its
entries happen once more, and whoever edited one of them is found out by the comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, select

from governance import statements
from governance.ledger import passages, remembered, sums
from governance.ledger.entry import Entry
from governance.ledger.kind import Bound
from governance.ledger.kinds import check_form
from governance.ledger.schema import PROJECTIONS, entries
from governance.statements import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from governance.ledger.kind import Change


def apply(c: Connection, e: Entry) -> None:
    """Let an entry take effect on the projections.

    Raises:
        Refused: it cannot follow from what was before; the tables stay as they were.
    """
    enact(c, check_form(e.statement).projection(c, e))
    sums.make(c, e.seq)


def enact(c: Connection, changes: Sequence[Change]) -> None:
    """Write what follows from an entry.

    Its changes touch rows of their own, so their order among themselves is free.
    """
    for change in changes:
        if isinstance(change, Bound):
            change.prepared.write(c, change.values)
    for change in changes:
        if not isinstance(change, Bound):
            c.execute(change)
            remembered.forget(c)


def replay(c: Connection, log: Iterable[Entry]) -> None:
    """Let entries take effect in order, on projections that are empty."""
    filling = passages.Filling()
    for e in log:
        apply(c, e)
        filling.take(c, e, b"")


def log_of(c: Connection) -> Iterator[Entry]:
    """Read every entry of a log, in order, as it was admitted."""
    rows = c.execute(
        select(entries.c.seq, entries.c.received_at, entries.c.envelope).order_by(entries.c.seq)
    )
    for row in rows:
        yield Entry(row.seq, parse_time(row.received_at), statements.read(row.envelope))


def rebuild(c: Connection) -> None:
    """Empty every projection of a log and make it again from the entries."""
    for table in PROJECTIONS:
        c.execute(delete(table))
    remembered.forget(c)
    replay(c, list(log_of(c)))
