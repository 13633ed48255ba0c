"""The ledger's tables as one part of a database, and what no migration may change in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, select, text

from governance.ledger import migrations, triggers, views
from governance.ledger.revisions import Part, settle
from governance.ledger.schema import entries, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_STREAM: Final = {"yield_per": 1000}
_TRIGGERS: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
}

_READERS: Final = """
    SELECT table_name, grantee FROM information_schema.table_privileges
    WHERE table_schema = current_schema() AND privilege_type = 'SELECT'
    AND starts_with(table_name, 'audit_') AND grantee <> current_user
"""


def create(engine: Engine, *, where: object = "") -> None:
    """Make a ledger's tables, triggers and views, or see that they are those of this version.

    Raises:
        Refused: they are of another version.
    """
    settle(engine, (LEDGER,), where=where)


def _sealed(connection: Connection) -> object:
    """Return a digest of every entry's bytes, and which of the append-only triggers stand."""
    digest = hashlib.sha256()
    wanted = select(
        entries.c.seq, entries.c.received_at, entries.c.envelope, entries.c.leaf_hash
    ).order_by(entries.c.seq)
    with connection.execute(wanted, execution_options=_STREAM) as rows:
        for row in rows:
            digest.update(repr(tuple(row)).encode())
    there = set(connection.execute(text(_TRIGGERS[connection.dialect.name])).scalars())
    return digest.digest(), tuple(name in there for name in triggers.NAMES)


def _take_views_away(connection: Connection) -> list[str]:
    """Drop the views, which hold nothing: a column that one shows could not be changed.

    Returns:
        What grants those that are made again to whoever could read them.
    """
    there = [name for name in inspect(connection).get_view_names() if name.startswith("audit_")]
    readers: list[tuple[str, str]] = []
    if connection.dialect.name == "postgresql":
        readers = [(row.table_name, row.grantee) for row in connection.execute(text(_READERS))]
    for name in there:
        connection.exec_driver_sql(f"DROP VIEW {name}")
    return [
        f"GRANT SELECT ON {view} TO {_role(connection, reader)}"
        for view, reader in readers
        if view in views.VIEWS
    ]


def _role(connection: Connection, name: str) -> str:
    return name if name == "PUBLIC" else connection.dialect.identifier_preparer.quote(name)


def _project(connection: Connection) -> None:
    """Make the projections as this version makes them: what a new column says follows, too."""
    from governance.ledger import projections  # what a migration alone needs

    projections.rebuild(connection)


LEDGER: Final = Part(
    "ledger",
    metadata,
    Path(migrations.__file__).parent / "versions",
    before=_take_views_away,
    after=views.make,
    refill=_project,
    sealed=_sealed,
)
