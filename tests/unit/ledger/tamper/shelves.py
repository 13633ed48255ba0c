"""Where histories lie on each engine, and an intruder's hands there."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from itertools import count
from uuid import uuid4

from histories import Intruder
from sqlalchemy import create_engine, make_url

_WORDS = (
    (re.compile(r"zeroblob\((\d+)\)"), r"decode(repeat('00', \1), 'hex')"),
    (re.compile(r"\bx'([0-9a-f]*)'"), r"decode('\1', 'hex')"),
    (re.compile(r"\?"), "%s"),
)
"""How SQLite's words for bytes, and its placeholders, are said on PostgreSQL."""


class Files:
    """A folder of SQLite files."""

    def __init__(self, folder):
        self._folder = folder
        self._number = count()

    def blank(self):
        """Return the place of a database that is not there yet."""
        return self._folder / f"{next(self._number)}.db"

    def copied(self, place):
        """Return the place of a copy."""
        with closing(sqlite3.connect(place)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return shutil.copy(place, self.blank())

    def intruder(self, place, log):
        return Intruder(place, log)

    def drop(self, place):
        place.unlink()


class Databases:
    """Databases of one PostgreSQL server."""

    def __init__(self, url):
        self._url = make_url(url)

    def blank(self):
        return self._made("")

    def copied(self, place):
        """Return the place of a copy; nobody may be connected to the other."""
        return self._made(f"TEMPLATE {make_url(place).database}")

    def intruder(self, place, log):
        return Conqueror(place, log)

    def drop(self, place):
        self._do(f"DROP DATABASE {make_url(place).database} WITH (FORCE)")

    def _made(self, template):
        name = f"tampered_{uuid4().hex}"
        self._do(f"CREATE DATABASE {name} {template}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _do(self, command):
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as c:
            c.exec_driver_sql(command)
        engine.dispose()


class Conqueror(Intruder):
    """Whoever owns a PostgreSQL database: no trigger is asked, and all of them stay."""

    trigger = "entries_no_change"

    @contextmanager
    def sql(self):
        engine = create_engine(self.path)
        try:
            with engine.begin() as c:
                c.exec_driver_sql("SET session_replication_role = replica")
                yield _Spoken(c)
        finally:
            engine.dispose()

    def drop_trigger(self):
        self.run((f"DROP TRIGGER {self.trigger} ON entries",))

    def entries(self):
        with self.sql() as db:
            return db.execute(
                "SELECT seq, received_at, envelope FROM entries ORDER BY seq"
            ).fetchall()

    def replace(self, seq, other):
        columns = ("received_at", "envelope", "kind", "actor", "site", "agreement", "signer")
        chosen = (
            f"SELECT ?, {', '.join(columns)}, decode(repeat('0f', 32), 'hex'),"
            " 'x' || substr(statement, 2), counter + 10000 FROM entries WHERE seq = ?"
        )
        named = (*columns, "leaf_hash", "statement", "counter")
        changed = ", ".join(f"{name} = excluded.{name}" for name in named)
        into = f"INSERT INTO entries (seq, {', '.join(named)}) {chosen}"
        self.run((f"{into} ON CONFLICT (seq) DO UPDATE SET {changed}", seq, other))

    def loosen(self, db):
        asked = "SELECT conname FROM pg_constraint WHERE contype IN ('p', 'u') AND conrelid = "
        for (name,) in db.execute(f"{asked} 'entries'::regclass").fetchall():
            db.execute(f'ALTER TABLE entries DROP CONSTRAINT "{name}"')
        db.execute("DROP INDEX IF EXISTS one_contribution")
        db.execute("DELETE FROM entries")


class _Spoken:
    def __init__(self, connection):
        self._connection = connection

    def execute(self, command, values=()):
        for word, other in _WORDS:
            command = word.sub(other, command)
        return self._connection.exec_driver_sql(command, tuple(values))

    def executemany(self, command, rows):
        for row in rows:
            self.execute(command, row)
