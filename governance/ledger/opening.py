"""Opening the database that a log is read from: nothing is ever written there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from governance.ledger import revisions
from governance.ledger.making import LEDGER
from governance.ledger.schema import entries
from protos.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def open_database(url: str, *, whole: bool = True) -> Engine:
    """Return an engine that only reads: a SQLAlchemy URL, or the path of an SQLite file.

    Args:
        url: Which database.
        whole: Whether more is asked of it than its record, which is the same in every version.

    Raises:
        Refused: there is no such database, or no ledger in it; or another version made it, and
            it cannot be read as this one does.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(entries.name):
                raise _no_ledger(url, "it holds no ledger")
            if whole:
                revisions.refuse_unreadable(connection, LEDGER, where=_shown(url))
    except DBAPIError as problem:
        engine.dispose()
        said = str(problem.orig).partition("\n")[0]
        raise _no_ledger(url, f"it cannot be opened: {said}") from None
    except Refused:
        engine.dispose()
        raise
    return engine


def writable_url(url: str) -> str:
    """Return a URL as SQLAlchemy wants it, of a database or the path of an SQLite file."""
    return url if "://" in url else f"sqlite:///{url}"


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(writable_url(url))
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database or "")
        return create_engine(
            parsed, isolation_level="REPEATABLE READ", connect_args={"connect_timeout": 10}
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as problem:
        raise _no_ledger(url, f"it is no URL of a database known here: {problem}") from None


def _sqlite(url: str, database: str) -> Engine:
    path = Path(database)
    if not path.is_file():
        raise _no_ledger(url, f"there is no file {path}")
    how = {"mode": "ro", "uri": "true"}
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        how["immutable"] = "1"  # a copy on a medium where SQLite can put no lock beside it
    readable = URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query=how)
    engine = create_engine(readable)

    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: Any, _record: object) -> None:  # noqa: ANN401
        connection.isolation_level = None
        connection.text_factory = lambda octets: octets.decode(errors="surrogateescape")

    @event.listens_for(engine, "begin")
    def _hold_one_moment(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _no_ledger(url: str, why: str) -> Refused:
    return Refused(
        f"no ledger can be read from {_shown(url)}: {why}",
        todo="Name a database with --url (sqlite:///state/coordinator.db) or an export's "
        "folder with --export.",
        rule="no-ledger",
    )


def _shown(url: str) -> str:
    """Return a URL without its password."""
    try:
        return make_url(url).render_as_string()
    except ArgumentError:
        return url.rsplit("@", maxsplit=1)[-1]
