"""A point within a transaction to go back to, marked by the driver itself.

As `Prepared` does for statements, it spares what SQLAlchemy does around a savepoint, several
times what SQLite needs for it. Savepoints nest; each is released or gone back to in its turn.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from governance.ledger import prepared, remembered, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextmanager
def savepoint(c: Connection) -> Iterator[None]:
    """Undo what the block wrote, and forget what it knew, where it raises; which goes on.

    Where the database itself fails, SQLite may have ended the transaction, which is left to
    whoever began it.
    """
    if not c.in_transaction():
        c.begin()  # as SQLAlchemy's own savepoints do: who opened the connection ends it
    waiting.flush(c, remembered.answers(c))
    prepared.run(c, "SAVEPOINT concilium")
    try:
        yield
    except OperationalError:
        raise
    except BaseException:
        remembered.drop(c)
        prepared.run(c, "ROLLBACK TO SAVEPOINT concilium")
        prepared.run(c, "RELEASE SAVEPOINT concilium")
        raise
    prepared.run(c, "RELEASE SAVEPOINT concilium")
