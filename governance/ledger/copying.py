"""The copy of a database that is kept from before it was migrated.

    site.db.site-0001.20261121T104600Z.backup

It is an SQLite file for its owner's eyes alone, named after the database, the revisions in it
and the time. It stays until somebody deletes it: what is erased later is still in it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protos.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.revisions import Part

SUFFIX: Final = ".backup"
_STAMP: Final = re.compile(r"([a-z]+)-(\w+)")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_OWNER_ONLY: Final = 0o600


def _from_sqlite(connection: Connection, target: Path) -> None:
    """Copy an SQLite file as it is committed; whoever writes to it meanwhile is not seen."""
    source = f"file:{connection.engine.url.database}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)
        there.execute("PRAGMA journal_mode=DELETE")


@dataclass(frozen=True, slots=True)
class Copies:
    """Where copies of a database are kept, and how one is written.

    Args:
        stem: What their names begin with; for SQLite the database's own file.
        write: Writes what the database held before the transaction at hand into a file.
    """

    stem: Path
    write: Callable[[Connection, Path], None] = _from_sqlite

    def keep(self, connection: Connection, stamps: Mapping[str, str], *, at: datetime) -> Path:
        """Keep a copy of a database at these revisions; it is there whole, or not at all.

        Raises:
            Unavailable: it cannot be written.
        """
        marks = ".".join(f"{name}-{revision}" for name, revision in stamps.items())
        path = self.stem.with_name(f"{self.stem.name}.{marks}.{at.strftime(_TIME)}{SUFFIX}")
        half = path.with_name(f".{path.name}.partial")
        try:
            half.unlink(missing_ok=True)
            os.close(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
            self.write(connection, half)
            _flush(half)
            half.replace(path)
            _flush(path.parent)
        except (OSError, sqlite3.Error) as problem:
            raise Unavailable(
                f"no copy of the database can be kept, and without one it is not migrated: "
                f"{problem}",
                where=str(path.parent),
                todo="See whether the disk is full or read-only; nothing was changed.",
                rule="store-unavailable",
            ) from None
        finally:
            half.unlink(missing_ok=True)
        return path

    def newest(self, parts: Iterable[Part]) -> Path | None:
        """Return the newest copy that this program can work with, None where there is none."""
        known = {(part.name, revision) for part in parts for revision in part.known}
        found = [
            path
            for path in self._all()
            if set(_STAMP.findall(path.name.removeprefix(self.stem.name))) <= known
        ]
        return max(found, key=lambda path: path.name.rsplit(".", 2)[1], default=None)

    def _all(self) -> list[Path]:
        begins = f"{self.stem.name}."
        if not self.stem.parent.is_dir():
            return []
        there = self.stem.parent.iterdir()
        return [one for one in there if one.name.startswith(begins) and one.suffix == SUFFIX]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
