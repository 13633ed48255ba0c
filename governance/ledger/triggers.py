"""Triggers that refuse every change of an append-only table, on each engine.

They stop accidents and hasty hands; the tree stops attackers. A row is refused that changes or
deletes another, that is there already, or that is not the next entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import event, text
from sqlalchemy.schema import DDL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table

_NOT_NEW: Final[Mapping[str, tuple[str, ...]]] = {
    "entries": (
        "NEW.seq <> (SELECT COALESCE(MAX(seq), -1) + 1 FROM entries)",
        "EXISTS (SELECT 1 FROM entries WHERE leaf_hash = NEW.leaf_hash)",
        "EXISTS (SELECT 1 FROM entries WHERE statement = NEW.statement)",
        "EXISTS (SELECT 1 FROM entries WHERE signer = NEW.signer AND counter = NEW.counter)",
        (
            "(NEW.kind = 'contribution-made' AND EXISTS (SELECT 1 FROM entries"
            " WHERE kind = 'contribution-made' AND site = NEW.site AND round = NEW.round"
            " AND attempt = NEW.attempt))"
        ),
    ),
    "nodes": ("EXISTS (SELECT 1 FROM nodes WHERE level = NEW.level AND idx = NEW.idx)",),
    "checkpoints": ("EXISTS (SELECT 1 FROM checkpoints WHERE size = NEW.size)",),
    "cosignatures": (
        "EXISTS (SELECT 1 FROM cosignatures WHERE size = NEW.size AND site = NEW.site)",
    ),
}
"""Any of these refuses an INSERT. The triggers ask by themselves, because INSERT OR REPLACE
deletes the row in its way without a DELETE trigger where `recursive_triggers` is off, as on any
connection that is not ours."""

TABLES: Final = frozenset(_NOT_NEW)
"""Those that are append-only."""
_SUFFIXES: Final = ("_no_update", "_no_delete", "_no_change", "_no_truncate", "_only_new")
NAMES: Final = tuple(f"{table}{suffix}" for table in _NOT_NEW for suffix in _SUFFIXES)
"""What the triggers of either engine are called."""


def attach(table: Table) -> None:
    """Have the triggers made with the table, in the words of the engine at hand."""
    not_new = " OR ".join(_NOT_NEW[table.name])
    for dialect, words in (("sqlite", _sqlite), ("postgresql", _postgresql)):
        for statement in words(table.name, not_new):
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def missing(c: Connection) -> list[str]:
    """Return the triggers that are gone, switched off, or say something else than they did."""
    asked = _in_sqlite if c.dialect.name == "sqlite" else _in_postgresql
    return sorted(asked(c))


def restore(c: Connection) -> list[str]:
    """Make every trigger that is missing or changed anew; return their names."""
    gone = missing(c)
    for table in sorted({_table_of(name) for name in gone}):
        not_new = " OR ".join(_NOT_NEW[table])
        if c.dialect.name == "sqlite":
            made = _sqlite(table, not_new)
            named = [statement.split()[2] for statement in made]
            drops = [f"DROP TRIGGER IF EXISTS {name}" for name in named]
        else:
            made = _postgresql(table, not_new)
            named = [f"{table}_refuse", f"{table}_only_new"]
            drops = [f"DROP FUNCTION IF EXISTS {name}() CASCADE" for name in named]
            drops += [f"DROP TRIGGER IF EXISTS {table}_{one} ON {table}" for one in _TYPES]
        for statement in (*drops, *made):
            c.exec_driver_sql(statement)
    return gone


def _table_of(trigger: str) -> str:
    return trigger.partition("_")[0]


def _in_sqlite(c: Connection) -> set[str]:
    rows = c.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    there = {(row.name, row.sql) for row in rows}
    wanted = {
        (statement.split()[2], statement)
        for table, not_new in _NOT_NEW.items()
        for statement in _sqlite(table, " OR ".join(not_new))
    }
    return {name for name, _ in wanted - there}


_THERE: Final = text(
    "SELECT t.tgname AS name, t.tgtype AS type, p.prosrc AS source"
    " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL"
    " AND t.tgrelid = to_regclass(CAST(:name AS text))"
)
_TYPES: Final[Mapping[str, int]] = {"no_change": 27, "no_truncate": 34, "only_new": 7}
"""pg_trigger's bits: 1 a row, 2 before, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE."""


def _in_postgresql(c: Connection) -> set[str]:
    gone = set()
    for table, not_new in _NOT_NEW.items():
        rows = c.execute(_THERE, {"name": table})
        there = {(row.name, int(row.type), row.source) for row in rows}
        refuses, only_new = (
            statement.split("$$")[1]
            for statement in _postgresql(table, " OR ".join(not_new))[:2]
        )
        for name, kind in _TYPES.items():
            source = only_new if name == "only_new" else refuses
            if (f"{table}_{name}", kind, source) not in there:
                gone.add(f"{table}_{name}")
    return gone


def _sqlite(table: str, not_new: str) -> tuple[str, ...]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_only_new BEFORE INSERT ON {table} WHEN {not_new} {refuse}",
    )


def _postgresql(table: str, not_new: str) -> tuple[str, ...]:
    refuse = f"RAISE EXCEPTION '{table} is append-only'"
    returns = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    made_by = "EXECUTE FUNCTION"
    return (
        f"CREATE FUNCTION {table}_refuse() {returns} {refuse}; END $$",
        (
            f"CREATE FUNCTION {table}_only_new() {returns} IF {not_new} THEN {refuse}; END IF;"
            " RETURN NEW; END $$"
        ),
        (
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW"
            f" {made_by} {table}_refuse()"
        ),
        (
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
            f" {made_by} {table}_refuse()"
        ),
        (
            f"CREATE TRIGGER {table}_only_new BEFORE INSERT ON {table} FOR EACH ROW"
            f" {made_by} {table}_only_new()"
        ),
    )
