"""What is said to a log under test, and all that its tables hold."""

from __future__ import annotations

import hashlib

from sqlalchemy import select, text

from governance import statements
from governance.ledger import schema

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
OFFICER = (
    statements.disclose("officer", "A", salt=bytes(32)),
    statements.disclose("role", "B", salt=bytes(32)),
)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def content(c):
    """Return every row of every table, in the order of their keys."""
    tables = schema.metadata.sorted_tables
    return {t.name: c.execute(select(t).order_by(*t.primary_key)).all() for t in tables}


def unguarded(c, table):
    """Take the triggers of a table away, as whoever owns the database can."""
    if c.dialect.name == "sqlite":
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
        for name in c.execute(text(named), {"table": table}).scalars().all():
            c.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        c.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
