"""Append-only tables refuse every other change, also by hand and without our settings."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from governance.ledger import checkpoint, store

pytestmark = pytest.mark.sqlite
COLUMNS = (
    "seq, received_at, envelope, leaf_hash, statement, kind, actor, site, round, attempt,"
    " agreement, signer, counter"
)


def copied(verb, *, of=2, **changed):
    """Return an INSERT of a copy of an entry with some columns changed."""
    cells = [changed.get(column.strip(), column.strip()) for column in COLUMNS.split(",")]
    values = f"SELECT {', '.join(cells)} FROM entries WHERE seq = {of}"
    return f"{verb} INTO entries ({COLUMNS}) {values}"


FRESH = {
    "leaf_hash": "x'00'",
    "statement": "'s'",
    "counter": "99",
    "round": "99",
}
NEXT = "(SELECT MAX(seq) + 1 FROM entries)"
FORBIDDEN = {
    "update": "UPDATE entries SET received_at = 'x' WHERE seq = 1",
    "update or replace": "UPDATE OR REPLACE entries SET seq = 1 WHERE seq = 2",
    "delete": "DELETE FROM entries WHERE seq = 1",
    "delete the last": f"DELETE FROM entries WHERE seq = {NEXT} - 1",
    "insert an existing seq": copied("INSERT", seq="2", **FRESH),
    "replace an existing seq": copied("INSERT OR REPLACE", seq="2", **FRESH),
    "ignore an existing seq": copied("INSERT OR IGNORE", seq="2", **FRESH),
    "leave a gap": copied("INSERT", seq=f"{NEXT} + 1", **FRESH),
    "a negative seq": copied("INSERT", seq="-1", **FRESH),
    "replace by leaf hash": copied(
        "INSERT OR REPLACE", seq=NEXT, **(FRESH | {"leaf_hash": "leaf_hash"})
    ),
    "replace by statement": copied(
        "INSERT OR REPLACE", seq=NEXT, **(FRESH | {"statement": "statement"})
    ),
    "replace by counter": copied(
        "INSERT OR REPLACE", seq=NEXT, **(FRESH | {"counter": "counter"})
    ),
    "upsert": copied("INSERT", seq="2", **FRESH)
    + " ON CONFLICT (seq) DO UPDATE SET kind = excluded.kind",
    "update nodes": "UPDATE nodes SET hash = x'00' WHERE level = 0 AND idx = 0",
    "delete nodes": "DELETE FROM nodes",
    "replace nodes": "INSERT OR REPLACE INTO nodes VALUES (0, 0, x'00')",
    "update checkpoints": "UPDATE checkpoints SET note = ''",
    "delete checkpoints": "DELETE FROM checkpoints",
    "replace checkpoints": "INSERT OR REPLACE INTO checkpoints"
    " SELECT size, x'00', '' FROM checkpoints",
    "update cosignatures": "UPDATE cosignatures SET line = ''",
    "delete cosignatures": "DELETE FROM cosignatures",
    "replace cosignatures": "INSERT OR REPLACE INTO cosignatures"
    " SELECT size, site, '' FROM cosignatures",
}


@pytest.fixture
def witnessed(agreed):
    """A log with a cosigned checkpoint."""
    note = store.sign_checkpoint(agreed.connection, agreed.key("ledger"), agreed.log.origin)
    line = checkpoint.cosign(note, site="amc", key=agreed.key("amc agent"), at=agreed.now)
    size = store.size_of(agreed.connection)
    store.add_cosignature(agreed.connection, size, line, "amc")
    return agreed


@pytest.mark.parametrize("what", FORBIDDEN)
def test_our_own_connection_is_refused(witnessed, what):
    with pytest.raises(IntegrityError, match="append-only"):
        witnessed.connection.execute(text(FORBIDDEN[what]))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_stranger_without_recursive_triggers_is_refused(witnessed, tmp_path, what):
    witnessed.connection.commit()
    stranger = sqlite3.connect(tmp_path / "ledger.db")
    try:
        assert stranger.execute("PRAGMA recursive_triggers").fetchone() == (0,)
        before = list(stranger.iterdump())
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            stranger.execute(FORBIDDEN[what])
        stranger.commit()
        assert list(stranger.iterdump()) == before
    finally:
        stranger.close()


def test_a_second_contribution_is_refused_by_the_table_itself(agreed):
    agreed.open_round(1)
    agreed.reserve("amc", 1)
    seq = agreed.contribute("amc", 1)
    for verb in ("INSERT", "INSERT OR REPLACE"):
        again = copied(verb, of=seq, seq=NEXT, **(FRESH | {"round": "round"}))
        with pytest.raises(IntegrityError, match="append-only"):
            agreed.connection.execute(text(again))


def test_the_next_entry_is_let_in(agreed):
    size = store.size_of(agreed.connection)
    agreed.connection.execute(text(copied("INSERT", seq=NEXT, **FRESH)))
    assert store.size_of(agreed.connection) == size + 1
