"""What PostgreSQL alone can do: its own refusals, its roles; all other rules run on both."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from admission import closed_round
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from governance.ledger import granting, schema, store, views

pytestmark = pytest.mark.postgresql
SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}


@pytest.fixture
def history(agreed):
    closed_round(agreed)
    store.sign_checkpoint(agreed.connection, agreed.key("ledger"), agreed.log.origin)
    return agreed


def projected(c):
    return {t.name: sorted(map(str, c.execute(select(t)))) for t in schema.PROJECTIONS}


def test_a_copy_on_sqlite_is_the_same_log(history, tmp_path):
    engine = store.open_engine(f"sqlite:///{tmp_path}/copy.db")
    store.create(engine)
    with engine.begin() as c:
        store.append_mirrored(c, store.entries(history.connection, 0, 10**6))
        assert store.head(c) == store.head(history.connection)
        assert projected(c) == projected(history.connection)
    engine.dispose()


def copied(seq):
    """Return an INSERT of a copy of an entry at another place, its own columns all new."""
    columns = "received_at, envelope, '\\x00', 's', kind, actor, site, 99, attempt, agreement"
    return f"INSERT INTO entries SELECT {seq}, {columns}, 'x', 99 FROM entries WHERE seq = 1"


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE entries SET received_at = '' WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 1",
        "TRUNCATE entries",
        copied("seq"),
        copied("99"),
        "INSERT INTO nodes SELECT * FROM nodes ON CONFLICT DO NOTHING",
        "UPDATE nodes SET hash = ''",
        "DELETE FROM nodes",
        "TRUNCATE nodes",
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM checkpoints",
    ],
)
def test_append_only_tables_refuse_every_other_change(history, forbidden):
    point = history.connection.begin_nested()
    with pytest.raises(DBAPIError, match="append-only"):
        history.connection.execute(text(forbidden))
    point.rollback()


# --- roles -------------------------------------------------------------------------------


@pytest.fixture
def roles(history):
    """The roles of `grant`, as an owner makes them; each is taken on inside the transaction."""
    c = history.connection
    for role in ("app", "regulator"):
        c.execute(text(f"CREATE ROLE {role}"))
    for statement in granting.grants("app", auditor="regulator"):
        c.execute(text(statement))
    return history


@contextmanager
def acting(c, role):
    c.execute(text(f"SET LOCAL ROLE {role}"))
    yield
    c.execute(text("RESET ROLE"))


def test_the_coordinators_role_adds_to_the_record(roles):
    before = store.size_of(roles.connection)
    with acting(roles.connection, "app"):
        roles.agent("amc", "software-started", SOFTWARE)
        store.sign_checkpoint(roles.connection, roles.key("ledger"), roles.log.origin)
    assert store.size_of(roles.connection) == before + 1


@pytest.mark.parametrize(
    ("role", "forbidden"),
    [
        ("app", "UPDATE entries SET received_at = ''"),
        ("app", "DELETE FROM entries"),
        ("app", "TRUNCATE nodes"),
        ("app", "UPDATE checkpoints SET note = ''"),
        ("app", "DELETE FROM cosignatures"),
        ("app", "DROP TRIGGER entries_no_change ON entries"),
        ("app", "ALTER TABLE entries DISABLE TRIGGER ALL"),
        ("regulator", "INSERT INTO acts SELECT * FROM acts"),
        ("regulator", "DELETE FROM consents"),
        ("regulator", "SELECT * FROM disclosures"),
        ("regulator", "SELECT * FROM audit_disclosures"),
    ],
)
def test_postgresql_itself_refuses_what_a_role_may_not(roles, role, forbidden):
    point = roles.connection.begin_nested()
    roles.connection.execute(text(f"SET LOCAL ROLE {role}"))
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        roles.connection.execute(text(forbidden))
    point.rollback()


def test_an_auditors_role_reads_the_record_and_its_views(roles):
    with acting(roles.connection, "regulator"):
        for name in (*views.VIEWS.keys() - {views.DISCLOSED}, "entries", "consents"):
            roles.connection.execute(text(f"SELECT * FROM {name}")).all()
