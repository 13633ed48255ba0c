"""Rows that wait to be inserted: gathered by table, and written together.

A batch of entries writes a few rows into each of a few tables, again and again. So what is
inserted waits in memory until somebody asks SQLAlchemy anything, a question touches its table,
a savepoint begins or the transaction commits: then a driver writes each table's rows at once.
Whoever reads sees no difference. What is rolled back was never written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from sqlalchemy import Engine, event

from governance.ledger import remembered

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from governance.ledger.remembered import Answers

_MOST: Final = 4000
"""So many rows wait at once, and no more: a long log fits in no memory."""
_ATTENDED: Final[WeakSet[Engine]] = WeakSet()


class Writer(Protocol):
    """What writes rows of one table."""

    def write_now(self, c: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows in their order."""


@dataclass(slots=True)
class Rows:
    """Rows of one table, what writes them, and the questions whose answers they belong to."""

    writer: Writer
    rows: list[Mapping[str, object]] = field(default_factory=list)
    questions: set[Hashable] = field(default_factory=set)


def attend(engine: Engine) -> None:
    """Let rows wait on an engine: see to it that they are written before anybody looks."""
    event.listen(engine, "before_cursor_execute", _before_sql)
    event.listen(engine, "commit", _before_commit)
    _ATTENDED.add(engine)


def may(c: Connection) -> bool:
    """Tell whether rows may wait on a connection's engine."""
    return c.engine in _ATTENDED


def add(
    c: Connection,
    known: Answers,
    table: str,
    writer: Writer,
    rows: Sequence[Mapping[str, object]],
) -> Rows | None:
    """Let rows wait; None if they may not on this engine, and must be written now."""
    there = known.waiting.get(table)
    if there is None or there.writer is not writer:
        if not may(c):
            return None
        if there is not None:
            flush(c, known, (table,))
        there = known.waiting[table] = Rows(writer)
    there.rows.extend(rows)
    known.waits += len(rows)
    return there


def touches(known: Answers, tables: Iterable[str], question: Hashable) -> bool:
    """Tell whether a row waits that belongs to the answer of a question."""
    there = (known.waiting.get(table) for table in tables)
    return any(each is not None and question in each.questions for each in there)


def flush(c: Connection, known: Answers, tables: Iterable[str] | None = None) -> None:
    """Write the rows that wait, or those for some tables alone."""
    waiting = known.waiting
    names = list(waiting) if tables is None else [each for each in tables if each in waiting]
    ready = [waiting.pop(name) for name in names]
    if not ready:
        return
    if len(ready) == 1 or c.dialect.name == "sqlite":
        _write(c, known, ready)
        return
    from governance.ledger.prepared import together

    with together(c):
        _write(c, known, ready)


def _write(c: Connection, known: Answers, ready: Iterable[Rows]) -> None:
    for each in ready:
        known.waits -= len(each.rows)
        each.writer.write_now(c, each.rows)


def flush_if_many(c: Connection, known: Answers) -> None:
    """Write what waits, if it is much."""
    if known.waits > _MOST:
        flush(c, known)


def _before_sql(c: Connection, _cursor: object, sql: str, *_: Any) -> None:  # noqa: ANN401
    known = remembered.of(c)
    if known is None:
        return
    if known.waiting:
        flush(c, known)
    writes = not sql.startswith("SELECT")
    if writes and known.end is not None and ("entries" in sql or "nodes" in sql):
        known.end = None  # somebody else writes them


def _before_commit(c: Connection) -> None:
    known = remembered.of(c)
    if known is not None and known.waiting:
        flush(c, known)
