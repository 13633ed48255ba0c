"""What is said to a log under test, and all that its tables hold."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select, text

from governance import statements
from governance.ledger import schema
from protos.errors import Refused

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
OFFICER = (
    statements.disclose("officer", "A", salt=bytes(32)),
    statements.disclose("role", "B", salt=bytes(32)),
)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


FIRST = {"agreement": digest("first")}


def refused(rule, act, *args, **more):
    """Hold that an act is refused by a rule."""
    with pytest.raises(Refused) as caught:
        act(*args, **more)
    assert caught.value.rule == rule


def contribute(fed, round_=1, attempt=1, *, sites=("amc", "ucl"), base="m0", spent="1.0000"):
    """Let hospitals pay for a round that is open, and contribute to it."""
    for site in sites:
        fed.reserve(site, round_, attempt, total=spent)
        body = fed.contribution_body(site, round_, attempt, base=base) | {"epsilon": spent}
        fed.agent(site, "contribution-made", body)


def closed_round(
    fed, round_=1, attempt=1, *, sites=("amc", "ucl"), models="m0 m1", spent="1.0000"
):
    """Open a round, let hospitals pay for it and contribute, and close it; return where."""
    base = models.split()[0]
    fed.open_round(round_, attempt, sites=sites, model=base)
    contribute(fed, round_, attempt, sites=sites, base=base, spent=spent)
    return fed.close(round_, attempt, sites_in=sites, models=models)


def rows(fed, table):
    """Return a table's rows in the order of their keys: an engine keeps none of its own."""
    return fed.connection.execute(select(table).order_by(*table.primary_key)).all()


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
