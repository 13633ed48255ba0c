"""Triggers that refuse every change of an append-only table, on each engine.

They stop accidents and hasty hands; the tree stops attackers. A row is refused that changes or
deletes another, that is there already, or that is not the next entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import event
from sqlalchemy.schema import DDL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

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


def attach(table: Table) -> None:
    """Have the triggers made with the table, in the words of the engine at hand."""
    not_new = " OR ".join(_NOT_NEW[table.name])
    for dialect, words in (("sqlite", _sqlite), ("postgresql", _postgresql)):
        for statement in words(table.name, not_new):
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


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
