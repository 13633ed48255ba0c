"""A database of an older version brought to this one's revision, by the program that owns it.

    1. one transaction begins, and nobody else writes until it ends
    2. a copy of the database, as it is, is kept
    3. Alembic runs each script that is missing, and what follows from the entries is made anew
    4. what must never change is what it was: every entry's bytes, the append-only triggers
    5. the transaction ends; whoever is killed before has changed nothing

Alembic is imported here alone, and late: a database that is current is opened without it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, inspect

from governance.ledger import migrations
from governance.ledger.revisions import (
    Found,
    Standing,
    as_owner,
    look,
    look_at,
    put_stamp,
    refuse_newer,
)
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from governance.ledger.copying import Copies
    from governance.ledger.revisions import Part

_ENVIRONMENT: Final = Path(migrations.__file__).parent
_ALEMBIC: Final = threading.Lock()
"""Its scripts can speak of one migration at a time in a process."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration came to: from which revisions to which, and where the old state lies."""

    old: Mapping[str, str]
    new: Mapping[str, str]
    copy: Path

    @property
    def sentence(self) -> str:
        """All of it in a sentence."""
        steps = ", ".join(f"{name} {self.old[name]} → {self.new[name]}" for name in self.new)
        return f"Migrated the database ({steps}); as it was before, it is kept in {self.copy}."


def bring_up(
    engine: Engine,
    parts: Sequence[Part],
    *,
    copies: Copies,
    at: datetime,
    where: object = "",
) -> Migrated | None:
    """Migrate what is older than this program; return None where there was nothing to do.

    Whoever calls it is the one program that writes to this database.

    Raises:
        Refused: a newer version has used it, or no version ever made such tables.
        Corrupt: a migration would have changed what it may not; nothing was changed.
        Unavailable: the copy cannot be written; nothing was changed.
    """
    found = look_at(engine, parts)
    backup = copies.newest(parts)
    for part in parts:
        refuse_newer(part, found[part.name], where=where, backup=backup)
    if all(one.standing in (Standing.CURRENT, Standing.ABSENT) for one in found.values()):
        return None
    with as_owner(), engine.begin() as connection:
        return _brought_up(connection, parts, copies, at, where)


def _brought_up(
    connection: Connection,
    parts: Sequence[Part],
    copies: Copies,
    at: datetime,
    where: object,
) -> Migrated | None:
    found = {part: look(connection, part) for part in parts}
    for part, one in found.items():
        if one.standing is Standing.UNSTAMPED:
            found[part] = adopt(connection, part, where=where)
    old = {part: one.revision for part, one in found.items() if one.standing is Standing.OLDER}
    if not old:
        return None
    stamps = {part.name: one.revision for part, one in found.items() if one.revision}
    copy = copies.keep(connection, stamps, at=at)
    try:
        for part, revision in old.items():
            _migrate(connection, part, revision, where)
    except BaseException:
        copy.unlink(
            missing_ok=True
        )  # the database is as it was: there is nothing to go back to
        raise
    names = {part.name: revision for part, revision in old.items()}
    return Migrated(names, {part.name: part.newest for part in old}, copy)


def _migrate(connection: Connection, part: Part, revision: str, where: object) -> None:
    sealed = part.sealed(connection)
    taken = part.before(connection)
    run(connection, part, part.newest)
    part.after(connection)
    part.refill(connection)
    for statement in taken:
        connection.exec_driver_sql(statement)
    if part.sealed(connection) != sealed:
        raise Corrupt(
            f"migrating {part.name} from revision {revision} to {part.newest} would change "
            "what is append-only",
            where=str(where),
            todo="Nothing was changed. Install the version that you had, and report this.",
            rule="migration-unsafe",
        )


def run(connection: Connection, part: Part, revision: str) -> None:
    """Have Alembic run the scripts up to a revision, in the transaction at hand."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _literal(_ENVIRONMENT))
    config.set_main_option("version_locations", _literal(part.scripts))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, version_table=part.stamp)
    with _ALEMBIC:
        command.upgrade(config, revision)


def _literal(path: Path) -> str:
    return str(path).replace("%", "%%")  # Alembic's configuration would interpolate it


def adopt(connection: Connection, part: Part, *, where: object = "") -> Found:
    """Stamp tables from before there were stamps, if they are those of the first revision.

    Raises:
        Refused: they are not.
    """
    put_stamp(connection, part, recognise(connection, part, where=where))
    return look(connection, part)


def recognise(connection: Connection, part: Part, *, where: object = "") -> str:
    """Return the revision of a part that is there, by its stamp or else by its tables.

    Raises:
        Refused: it is one that this program does not know.
    """
    found = look(connection, part)
    refuse_newer(part, found, where=where)
    if found.revision:
        return found.revision
    first = part.known[0]
    made = create_engine("sqlite://")
    with made.begin() as example:
        run(example, part, first)
        wanted = _shapes(example)
    made.dispose()
    there = _shapes(connection)
    ours = {name: there[name] for name in {*wanted, *part.metadata.tables} if name in there}
    wanted.pop(part.stamp)
    if ours != wanted:
        raise Refused(
            f"this database has tables of {part.name} as no version of Concilium made them",
            where=str(where),
            todo="If a version under development made it, begin a new one, or go on with that "
            "version. Nothing was changed.",
            rule="store-unknown",
        )
    return first


def _shapes(connection: Connection) -> dict[str, object]:
    """Return the columns and the primary key of each table, as far as all engines agree."""
    inspector = inspect(connection)
    keys = inspector.get_multi_pk_constraint()
    return {
        place[1]: (
            {(one["name"], one["nullable"]) for one in columns},
            keys[place]["constrained_columns"],
        )
        for place, columns in inspector.get_multi_columns().items()
    }
