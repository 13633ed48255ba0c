"""What acts on the append-only tables and is none of ours: triggers, rules, row security.

A rule can swallow a new row, a trigger change it, row security hide one from a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from governance.ledger import triggers

if TYPE_CHECKING:
    from sqlalchemy import Connection

_IN_SQLITE: Final = text(
    "SELECT 'trigger' AS kind, name, tbl_name AS relation FROM sqlite_master"
    " WHERE type = 'trigger'"
)
_IN_POSTGRESQL: Final = text(
    "SELECT 'trigger' AS kind, tgname AS name, tgrelid::regclass::text AS relation"
    " FROM pg_trigger WHERE NOT tgisinternal"
    " UNION ALL SELECT 'rule', rulename, ev_class::regclass::text FROM pg_rewrite"
    " UNION ALL SELECT 'row', 'security', oid::regclass::text FROM pg_class"
    " WHERE relrowsecurity"
)


@dataclass(frozen=True, slots=True, order=True)
class _Interloper:
    relation: str
    kind: str
    name: str

    @property
    def said(self) -> str:
        return f"{self.kind} {self.name} of {self.relation}"


def found(c: Connection) -> list[str]:
    """Return what is there beside our triggers, each as `trigger NAME of TABLE`."""
    return [one.said for one in _found(c)]


def remove(c: Connection) -> list[str]:
    """Take all of it away; return what it was."""
    there = _found(c)
    quote = c.dialect.identifier_preparer.quote
    for one in there:
        name = quote(one.name)
        if one.kind == "row":
            drop = f"ALTER TABLE {one.relation} DISABLE ROW LEVEL SECURITY"
        elif c.dialect.name == "sqlite":
            drop = f"DROP TRIGGER {name}"
        else:
            drop = f"DROP {one.kind.upper()} {name} ON {one.relation}"
        c.exec_driver_sql(drop.replace("%", "%%"))
    return [one.said for one in there]


def _found(c: Connection) -> list[_Interloper]:
    rows = c.execute(_IN_SQLITE if c.dialect.name == "sqlite" else _IN_POSTGRESQL)
    return sorted(
        _Interloper(row.relation, row.kind, row.name)
        for row in rows
        if row.relation in triggers.TABLES and row.name not in triggers.NAMES
    )
