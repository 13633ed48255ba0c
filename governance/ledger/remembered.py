"""What a writer's transaction asked and wrote before, and need not ask the database again.

One writer at a time changes a ledger, and what it changes passes `wrote`. So within its
transaction an answer holds until one of the tables that it came from is written, or a savepoint
is rolled back. Nothing is remembered from one transaction to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sqlalchemy import Connection, Engine, Transaction

    from governance.ledger.ending import End
    from governance.ledger.waiting import Rows

_PLACE: Final = "concilium_answers"
_MOST: Final = 20_000
"""So many answers are remembered at once, and no more: a long log fits in no memory."""


@dataclass(slots=True)
class Answers:
    """What one transaction knows.

    Answers go by their question, the questions by their table; those of `growing` are told of
    each row that is inserted. `waiting` are rows that are still to be written, by their table,
    so many in all; `end` is where the log ends.
    """

    transaction: Transaction | None
    by_question: dict[Hashable, list[Any]] = field(default_factory=dict)
    of_table: dict[str, set[Hashable]] = field(default_factory=dict)
    growing: dict[str, set[Hashable]] = field(default_factory=dict)
    waiting: dict[str, Rows] = field(default_factory=dict)
    waits: int = 0
    end: End | None = None

    def keep(
        self,
        question: Hashable,
        tables: frozenset[str],
        rows: list[Any],
        *,
        grows: bool = False,
    ) -> None:
        """Remember an answer that came from these tables."""
        if len(self.by_question) >= _MOST:
            self.forget()
        self.by_question[question] = rows
        for table in tables:
            places = self.growing if grows else self.of_table
            places.setdefault(table, set()).add(question)

    def wrote(self, table: str, *, grown: bool = True) -> None:
        """Forget every answer that came from a table which is being written.

        Those that grow stay where rows are inserted, which they are told of.
        """
        for question in self.of_table.pop(table, ()):
            self.by_question.pop(question, None)
        for question in () if grown else self.growing.pop(table, ()):
            self.by_question.pop(question, None)

    def forget(self) -> None:
        """Forget every answer; what waits is written all the same."""
        self.by_question.clear()
        self.of_table.clear()
        self.growing.clear()


def answers(c: Connection) -> Answers:
    """Return what the transaction of a connection remembers."""
    known: Answers | None = c.info.get(_PLACE)
    if known is None or known.transaction is not c.get_transaction():
        known = c.info[_PLACE] = Answers(c.get_transaction())
    return known


def of(c: Connection) -> Answers | None:
    """Return what the transaction of a connection remembers, None if it is nothing."""
    known: Answers | None = c.info.get(_PLACE)
    return known if known is not None and known.transaction is c.get_transaction() else None


def forget(c: Connection) -> None:
    """Forget every answer."""
    known = of(c)
    if known is not None:
        known.forget()


def forget_what_is_rolled_back(engine: Engine) -> None:
    """Have all forgotten that a rollback makes false, and nothing written of what waits."""
    event.listen(engine, "rollback", drop)
    event.listen(engine, "rollback_savepoint", drop)


def drop(c: Connection, *_: Any) -> None:  # noqa: ANN401 - what an event tells
    """Forget all that is known in the transaction, and what waits to be written."""
    c.info.pop(_PLACE, None)
