"""The triggers of the append-only tables as the first version has them; they stay so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import op

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def make() -> None:
    """Make them, in the words of the engine at hand."""
    connection = op.get_bind()
    words = _sqlite if connection.dialect.name == "sqlite" else _postgresql
    for table, not_new in _NOT_NEW.items():
        for statement in words(table, " OR ".join(not_new)):
            connection.exec_driver_sql(statement)


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
