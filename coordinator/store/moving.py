"""Moving a federation's state and history to another engine, and verifying them there.

All of it goes over in one transaction: what does not verify at the other end never was there.
The database that was left says so, so that nobody serves the federation from it again.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from sqlalchemy import MetaData, func, insert, select

from coordinator.store import kept
from coordinator.store import schema as state
from coordinator.store.parts import PARTS
from governance.ledger import migrating, revisions, schema, source
from governance.ledger import store as ledger
from governance.ledger.revisions import Standing
from governance.ledger.verify import verify
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine, Table

    from governance.ledger.migrating import Migrated
    from governance.ledger.revisions import Part
    from governance.ledger.verify import Verdict

_TABLES: Final = (*schema.metadata.sorted_tables, *state.metadata.sorted_tables)
_STAMPS: Final = frozenset(part.stamp for part in PARTS)
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move came to: rows in all tables, and what verification said of them there.

    `migrated` says what was done first to a database of an older version.
    """

    rows: int
    verdict: Verdict
    migrated: Migrated | None = None


def move(url: str, to: str) -> Moved:
    """Copy all of a database into an empty one, verify it there, and mark the old one as left.

    Args:
        url: The database with the federation; nobody else writes to it.
        to: The other database.

    Raises:
        Refused: it was moved before, or the other database is no empty one.
        Corrupt: what arrived does not verify; nothing of it is kept.
        Unavailable: one of the databases cannot be used.
    """
    with (
        _opened(url, to, called="the other database") as (old, new),
        ledger.in_words("the database"),
        old.begin() as here,
        new.begin() as there,
    ):
        kept.check_not_moved(here)
        for part in PARTS:
            _make_there(there, part)
        moved = _moved(here, there)
        kept.set_note(here, kept.MOVED, new.url.render_as_string())
    return moved


def snapshot(url: str, to: str, *, parts: Sequence[Part] = PARTS) -> int:
    """Copy all of a database, as it is at one moment, into an empty one; return its entries.

    Others may write to the first meanwhile. What a history is worth is for `verify` to say. One
    of an older version is copied as it is, to be migrated where it is brought back. `parts` is
    what this program knows of such a database.

    Raises:
        Refused: the federation was moved elsewhere, or a newer version has used the database.
        Unavailable: one of the databases cannot be used.
    """
    with (
        _opened(url, to, called="the backup's database") as (old, new),
        ledger.in_words("the database"),
        ledger.reading(old) as here,
        new.begin() as there,
    ):
        kept.check_not_moved(here)
        for table in _made_alike(here, there, parts):
            _copied(here, there, table)
        return ledger.size_of(there)


def _made_alike(here: Connection, there: Connection, parts: Sequence[Part]) -> Sequence[Table]:
    """Make an empty database's tables at the revisions of another; return them in order."""
    at = {part: migrating.recognise(here, part) for part in parts}
    if all(part.newest == revision for part, revision in at.items()):
        for part in parts:
            revisions.make(there, part)
        return _TABLES
    for part, revision in at.items():
        if part.newest == revision:
            revisions.make(there, part)  # with what is no table: an auditor's views
        else:
            migrating.run(there, part, revision)
    made = MetaData()
    made.reflect(there)
    return [table for table in made.sorted_tables if table.name not in _STAMPS]


@contextmanager
def _opened(url: str, to: str, *, called: str) -> Iterator[tuple[Engine, Engine]]:
    """Open a database and another one, and close both."""
    old, new = ledger.open_engine(url), ledger.open_engine(to)
    try:
        with ledger.in_words(called), ledger.reading(new):
            pass
        yield old, new
    finally:
        old.dispose()
        new.dispose()


def _make_there(there: Connection, part: Part) -> None:
    """Make a part of the other database, unless it lies there as this program makes it."""
    standing = revisions.look(there, part).standing
    if standing is Standing.ABSENT:
        revisions.make(there, part)
    elif standing is not Standing.CURRENT:
        raise refused(
            "the other database is not empty: another version made tables in it",
            "Name an empty database.",
        )


def _moved(here: Connection, there: Connection) -> Moved:
    for table in _TABLES:
        if there.execute(select(func.count()).select_from(table)).scalar():
            raise refused(
                f"the other database is not empty: its table {table.name} has rows",
                "Name an empty database.",
            )
    rows = sum(_copied(here, there, table) for table in _TABLES)
    verdict = verify(source.Database(there))
    if not verdict.verified:
        raise Corrupt(
            f"what arrived does not verify: {verdict.sentence}",
            todo="Nothing was moved; ask `concilium-ledger verify --url` of the old one.",
            rule="move-unverified",
        )
    return Moved(rows, verdict)


def _copied(here: Connection, there: Connection, table: Table) -> int:
    """Copy a table's rows in the order of their keys, and see that they arrived the same."""
    wanted = select(table).order_by(*table.primary_key.columns)
    options = {"yield_per": _AT_ONCE}
    count = 0
    with here.execute(wanted, execution_options=options) as leaving:
        for part in leaving.mappings().partitions():
            there.execute(insert(table), [dict(row) for row in part])
            count += len(part)
    with (
        here.execute(wanted, execution_options=options) as left,
        there.execute(wanted, execution_options=options) as arrived,
    ):
        if any(tuple(a) != tuple(b) for a, b in zip_longest(left, arrived, fillvalue=())):
            what = f"a row of {table.name} did not arrive as it was"
            raise Corrupt(what, rule="move-unverified")
    return count


def refused(what: str, todo: str) -> Refused:
    """Return the refusal of a move."""
    return Refused(f"the federation cannot be moved: {what}", todo=todo, rule="cannot-move")
