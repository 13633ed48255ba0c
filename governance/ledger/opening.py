"""Opening the database that a log is read from: nothing is ever written there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError

from governance.ledger import database, revisions
from governance.ledger.making import LEDGER
from governance.ledger.schema import disclosures, entries
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def in_one_sentence(url: str) -> Iterator[None]:
    """Say what hinders the reading of a record: its tables are others than they were, say.

    Raises:
        Refused: a table or column is gone or altered, or this role may not read it; or a number
            was asked for that no database holds.
        Corrupt, Unavailable: as `database.in_words` has it.
    """
    try:
        with database.in_words("the record", where=_shown(url)):
            yield
    except (OverflowError, DataError):
        raise Refused(
            "no entry and no round has so large a number", rule="unknown-entry"
        ) from None
    except DBAPIError as problem:
        said = str(problem.orig).partition("\n")[0]
        raise Refused(
            f"the record cannot be read to its end: {said}",
            where=_shown(url),
            todo="Its tables are not as they were made, or this role may not read them: verify "
            "an export or a hospital's copy, and ask this database's owner who changed it.",
            rule="record-unreadable",
        ) from None


def hides_values(connection: Connection) -> bool:
    """Return whether this role may not read disclosed values, and have none read if so.

    An auditor's role has the right to them only where the agreement says so; then the session
    sees an empty table in their place, as in an export without them. The record is untouched.
    """
    if database.may_read(connection, disclosures.name):
        return False
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {disclosures.name}"
        " (seq bigint, label text, salt bytea, value text)"
    )
    return True


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
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")

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
