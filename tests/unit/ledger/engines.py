"""The engines that every rule of the log is asked on, and how one is emptied."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from governance.ledger import store

ENGINES = {"sqlite": (), "postgresql": (pytest.mark.slow,)}


def empty(engine):
    """Take away what a test committed; what it did not is gone with its transaction."""
    with engine.begin() as c:
        if store.size_of(c):
            c.execute(text("DROP SCHEMA public CASCADE"))
            c.execute(text("CREATE SCHEMA public"))
