"""At which revision a database's tables are, and whether this program may use them.

Tables come in parts, each with a chain of numbered migrations and a stamp of its own: the
ledger's wherever a log lies, the coordinator's state beside it, the site's store. What is not
there is made at the newest revision. A stamp is read by one select: Alembic is loaded by
whoever has something to migrate, and by nobody else (`migrating`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from sqlalchemy import column, insert, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from governance.ledger.database import reading
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, MetaData, Select, TableClause

_SCRIPTS: Final = "r[0-9]*_*.py"
_NOT_OWNER: Final = "42501"


class Standing(Enum):
    """How a part of a database stands to what this program knows of it."""

    ABSENT = "absent"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    UNSTAMPED = "unstamped"


def _nothing(_connection: Connection) -> None:
    return None


def _none(_connection: Connection) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Part:
    """Tables that go from revision to revision together.

    Args:
        name: What the stamp is named after.
        metadata: The tables as this program uses them.
        scripts: The folder of the migrations that lead there, `r0001_….py` and so on.
        before: Takes away, ahead of a migration, what would be in its way; returns the SQL that
            gives back, after it, what was lost with that.
        after: Makes, after the tables, what is defined by them.
        refill: Makes anew, after a migration, the rows that follow from others.
        sealed: Tells what no migration may change; it is compared before and after.
    """

    name: str
    metadata: MetaData
    scripts: Path
    before: Callable[[Connection], Sequence[str]] = _none
    after: Callable[[Connection], None] = _nothing
    refill: Callable[[Connection], None] = _nothing
    sealed: Callable[[Connection], object] = _nothing

    @property
    def stamp(self) -> str:
        """The name of the table that says the revision."""
        return f"{self.name}_revision"

    @property
    def known(self) -> tuple[str, ...]:
        """The revisions that this program knows, the newest last."""
        return tuple(sorted(one.name[1:].split("_")[0] for one in self.scripts.glob(_SCRIPTS)))

    @property
    def newest(self) -> str:
        """The revision that this program works with."""
        return self.known[-1]


@dataclass(frozen=True, slots=True)
class Found:
    """How a part stands, and the revision that its stamp says; empty for none."""

    standing: Standing
    revision: str = ""


def look(connection: Connection, part: Part) -> Found:
    """Tell how a part of a database stands."""
    inspector = inspect(connection)
    if inspector.has_table(part.stamp):
        wanted: Select[tuple[str]] = select(column("version_num")).select_from(
            table(part.stamp)
        )
        revision = connection.execute(wanted).scalar()
        if revision is not None:
            return Found(_standing(str(revision), part.known), str(revision))
    there = inspector.get_table_names()
    known = set(part.metadata.tables)
    return Found(Standing.UNSTAMPED if known.intersection(there) else Standing.ABSENT)


def _standing(revision: str, known: Sequence[str]) -> Standing:
    if revision not in known:
        return Standing.NEWER
    return Standing.CURRENT if revision == known[-1] else Standing.OLDER


def look_at(engine: Engine, parts: Iterable[Part]) -> dict[str, Found]:
    """Tell how each part of a database stands, by name."""
    with reading(engine) as connection:
        return {part.name: look(connection, part) for part in parts}


def settle(engine: Engine, parts: Sequence[Part], *, where: object = "") -> None:
    """Make the parts that are missing; see that this program can work with the others.

    All of it is made in one transaction, so that a store is there whole or not at all.

    Raises:
        Refused: a part is of a newer version (`store-newer`), of an older one (`store-older`),
            or of none that ever was (`store-unknown`).
    """
    found = look_at(engine, parts)
    if all(one.standing is Standing.CURRENT for one in found.values()):
        return
    with as_owner(), engine.begin() as connection:
        for part in parts:
            _settle(connection, part, where)


@contextmanager
def as_owner() -> Iterator[None]:
    """Say in words that the role which makes or changes tables on a server may not.

    Raises:
        Refused: it may not.
    """
    try:
        yield
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) != _NOT_OWNER:
            raise
        said = str(problem.orig).partition("\n")[0]
        raise Refused(
            f"tables must be made or migrated, and the role that asks for it may not: {said}",
            todo="Name the role that owns the tables in `database` of coordinator.yaml for one "
            "start; then run what `concilium-ledger grant` prints, and put yours back.",
            rule="store-not-owner",
        ) from None


def _settle(connection: Connection, part: Part, where: object) -> None:
    found = look(connection, part)
    if found.standing is Standing.ABSENT:
        make(connection, part)
        return
    if found.standing is Standing.UNSTAMPED:
        from governance.ledger.migrating import adopt

        found = adopt(connection, part, where=where)
    refuse_unless_current(part, found, where=where)


def make(connection: Connection, part: Part) -> None:
    """Make a part's tables, stamped with the newest revision."""
    part.metadata.create_all(connection)
    part.after(connection)
    put_stamp(connection, part, part.newest)


def put_stamp(connection: Connection, part: Part, revision: str) -> None:
    """Write the revision of a part that had none, as Alembic itself would."""
    if not inspect(connection).has_table(part.stamp):
        key = f"CONSTRAINT {part.stamp}_pkc PRIMARY KEY (version_num)"
        made = f"CREATE TABLE {part.stamp} (version_num VARCHAR(32) NOT NULL, {key})"
        connection.execute(text(made))
    stamped: TableClause = table(part.stamp, column("version_num"))
    connection.execute(insert(stamped).values(version_num=revision))


def refuse_unless_current(part: Part, found: Found, *, where: object = "") -> None:
    """Refuse a part that this program cannot work with as it is.

    Raises:
        Refused: it is of a newer version, or of an older one.
    """
    refuse_newer(part, found, where=where)
    if found.standing is not Standing.CURRENT:
        raise older(part, found, where=where)


def refuse_newer(
    part: Part, found: Found, *, where: object = "", backup: Path | None = None
) -> None:
    """Refuse a part that a newer version has migrated; `backup` is from before it did.

    Raises:
        Refused: it is.
    """
    if found.standing is not Standing.NEWER:
        return
    kept = f"the copy {backup.name} that lies beside it" if backup else "a backup from before"
    raise Refused(
        f"a newer version of Concilium has used this database: its {part.name} is at revision "
        f"{found.revision}, and this program knows no later one than {part.newest}",
        where=str(where),
        todo=f"Install the newer version again; or, where nothing has happened since, restore "
        f"{kept}. Nothing was changed.",
        rule="store-newer",
    )


def older(part: Part, found: Found, *, where: object = "") -> Refused:
    """Return the refusal of whoever does not own a database to use it before it is migrated."""
    at = f"revision {found.revision}" if found.revision else "no revision"
    return Refused(
        f"an older version of Concilium made this database: its {part.name} is at {at}, and "
        f"this program works with {part.newest}",
        where=str(where),
        todo="Have its owner start the program that it belongs to, which migrates it: "
        "`concilium-coordinator serve` or `concilium-site run`. Nothing was changed.",
        rule="store-older",
    )


def refuse_unreadable(connection: Connection, part: Part, *, where: object = "") -> None:
    """Refuse, on behalf of whoever only reads, what cannot be read as this program does.

    An older revision can be, if every table and column that is asked for is there already.

    Raises:
        Refused: a newer version made it, or an older one with less in it.
    """
    found = look(connection, part)
    refuse_newer(part, found, where=where)
    if found.standing in (Standing.OLDER, Standing.UNSTAMPED) and _lacking(connection, part):
        raise older(part, found, where=where)


def _lacking(connection: Connection, part: Part) -> bool:
    there = columns(connection)
    return any(
        not {column.name for column in wanted.columns} <= there.get(name, frozenset())
        for name, wanted in part.metadata.tables.items()
    )


def columns(connection: Connection) -> Mapping[str, frozenset[str]]:
    """Return the names of each table's columns."""
    found = inspect(connection).get_multi_columns()
    return {name: frozenset(one["name"] for one in them) for (_, name), them in found.items()}
