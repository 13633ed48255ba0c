"""What a writer's transaction asked before, and need not ask the database again.

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

_PLACE: Final = "concilium_answers"


@dataclass(slots=True)
class Answers:
    """The answers of one transaction by their question, and the questions of each table."""

    transaction: Transaction | None
    by_question: dict[Hashable, list[Any]] = field(default_factory=dict)
    of_table: dict[str, set[Hashable]] = field(default_factory=dict)

    def keep(self, question: Hashable, tables: frozenset[str], rows: list[Any]) -> None:
        """Remember an answer that came from these tables."""
        self.by_question[question] = rows
        for table in tables:
            self.of_table.setdefault(table, set()).add(question)


def answers(c: Connection) -> Answers:
    """Return what the transaction of a connection remembers."""
    known: Answers | None = c.info.get(_PLACE)
    if known is None or known.transaction is not c.get_transaction():
        known = c.info[_PLACE] = Answers(c.get_transaction())
    return known


def wrote(c: Connection, table: str) -> None:
    """Forget every answer that came from a table which is being written."""
    known: Answers | None = c.info.get(_PLACE)
    if known is not None:
        for question in known.of_table.pop(table, ()):
            known.by_question.pop(question, None)


def forget(c: Connection) -> None:
    """Forget every answer."""
    c.info.pop(_PLACE, None)


def forget_what_is_rolled_back(engine: Engine) -> None:
    """Have answers forgotten that a savepoint's rollback may have made false."""
    event.listen(engine, "rollback_savepoint", lambda c, _name, _context: forget(c))
