"""The database under a log: durable, and one writer at a time on each engine.

SQLite's BEGIN IMMEDIATE and PostgreSQL's advisory lock let writers queue, so sequence numbers
have no gaps and no fork can be stored. Whoever only reads uses `reading` and waits for nobody.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from governance.ledger import prepared, remembered, waiting
from protos.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAY_READ: Final = text("SELECT has_table_privilege(to_regclass(:name), 'SELECT')")
_READING: Final = "concilium_reading"
_WRITER_LOCK: Final = 0x636F6E63
_BUSY_TIMEOUT_S: Final = 30
_SETTINGS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",
    "secure_delete=ON",
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NO_USE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_engine(url: str) -> Engine:
    """Return an engine whose transactions are durable; each is a writer's but in `reading`.

    On SQLite a missing file is made, and a writer waits up to 30 s for another.
    """
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url)
        event.listen(engine, "begin", _begin_elsewhere)
        _remember(engine)
        return engine
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    _remember(engine)
    return engine


def _remember(engine: Engine) -> None:
    """Let a writer's transaction know what it asked and wrote, and have none outlive it."""
    remembered.forget_what_is_rolled_back(engine)
    waiting.attend(engine)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that only reads, and sees one state of things throughout."""
    options: dict[str, Any] = {_READING: True}
    if engine.dialect.name != "sqlite":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as c, c.begin():
        yield c


def may_read(connection: Connection, table: str) -> bool:
    """Tell whether this role may read a table or view; of one that is not there, yes."""
    if connection.dialect.name != "postgresql":
        return True
    return connection.execute(_MAY_READ, {"name": table}).scalar() is not False


def check_sound(connection: Connection) -> None:
    """Read every page of an SQLite file; another engine looks after its own.

    Raises:
        Corrupt: a page is not what was written.
    """
    if connection.dialect.name != "sqlite":
        return
    with in_words("the database"):
        said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if said != "ok":
        todo = "Restore it from a backup; nothing was changed."
        raise Corrupt(f"the database is damaged: {said}", todo=todo, rule="store-damaged")


@contextmanager
def in_words(what: str, *, where: object = "") -> Iterator[None]:
    """Say in one sentence why a database cannot be used; what is our own fault stays as it is.

    Raises:
        Unavailable: the disk is full or read-only (`store-unavailable`), or somebody else holds
            or has ended the connection (`store-busy`).
        Corrupt: the file is damaged, or is no database.
    """
    try:
        yield
    except DatabaseError as problem:
        told = _told(problem, what, str(where))
        if told is None:
            raise
        raise told from None


def _told(problem: DatabaseError, what: str, where: str) -> Unavailable | Corrupt | None:
    code = getattr(problem.orig, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    sentence = f"{what} cannot be used: {problem.orig}"
    if primary in _DAMAGED:
        todo = "Restore it from a backup; nothing was changed."
        return Corrupt(sentence, where=where, todo=todo, rule="store-damaged")
    if primary in _NO_USE:
        todo = "See whether the disk is full or read-only; nothing was changed."
        return Unavailable(sentence, where=where, todo=todo, rule="store-unavailable")
    if primary in _BUSY or (primary is None and isinstance(problem, OperationalError)):
        todo = "Try again; nothing was changed."
        return Unavailable(sentence, where=where, todo=todo, rule="store-busy")
    return None


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
    connection.isolation_level = None  # BEGIN is ours, in `_begin_sqlite`
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite(c: Connection) -> None:
    # Not deferred: a reader that turns writer while another wrote is refused, however it waits.
    prepared.run(c, "BEGIN" if _only_reads(c) else "BEGIN IMMEDIATE")


def _begin_elsewhere(c: Connection) -> None:
    if not _only_reads(c):
        c.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")


def _only_reads(c: Connection) -> bool:
    return bool(c.get_execution_options().get(_READING))
