"""What a later version of the program would know, and all that lies in a database."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import create_engine, inspect, text

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
COLUMN = 'op.add_column("consents", sa.Column("note", sa.String(8)))'
SCRIPT = """\
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    {does}
"""


def later(part, place, does=COLUMN):
    """Return a part as a program knows it that has one more script."""
    revision = f"{int(part.newest) + 1:04d}"
    scripts = place / f"{part.name} 100% {revision}"
    shutil.copytree(part.scripts, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    told = SCRIPT.format(revision=revision, before=part.newest, does=does)
    (scripts / f"r{revision}_a_later_change.py").write_text(told)
    return replace(part, scripts=scripts)


def rows(engine, name):
    """Return what lies in a table, every cell of it."""
    with engine.connect() as c:
        return sorted(map(repr, c.execute(text(f"SELECT * FROM {name}"))))


def everything(engine):
    """Return all tables, with what lies in them."""
    with engine.connect() as c:
        names = inspect(c).get_table_names()
    return {name: rows(engine, name) for name in names}


def empty(engine):
    """Take all tables out of a database."""
    engine.dispose()
    cleaner = create_engine(engine.url)
    with cleaner.begin() as c:
        if c.dialect.name == "postgresql":
            c.execute(text("DROP SCHEMA public CASCADE"))
            c.execute(text("CREATE SCHEMA public"))
        else:
            there = inspect(c)
            for view in there.get_view_names():
                c.execute(text(f"DROP VIEW {view}"))
            for table in there.get_table_names():
                c.execute(text(f"DROP TABLE {table}"))
    cleaner.dispose()
