"""Appending, reading, proving, mirroring, and what a crash or a second writer leaves."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest
from admission import content, unguarded
from sqlalchemy import insert, select, update

from governance import statements
from governance.ledger import entry, merkle, projections, schema, store, tree
from protos.errors import Corrupt, PeerFault, Refused

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}


def projected(c):
    return {t.name: sorted(map(str, c.execute(select(t)))) for t in schema.PROJECTIONS}


def leaves(c):
    return [
        merkle.leaf_hash(entry.leaf_data(one.seq, one.received_at, one.envelope))
        for one in store.entries(c, 0, 10**6)
    ]


@pytest.fixture
def history(agreed):
    """A log of a round that was abandoned and one that was closed."""
    agreed.open_round(1)
    agreed.reserve("amc", 1)
    agreed.contribute("amc", 1, update="u")
    agreed.abandon(1)
    agreed.open_round(1, 2)
    agreed.contribute("amc", 1, 2, update="u")
    agreed.reserve("ucl", 1, 2)
    agreed.contribute("ucl", 1, 2)
    agreed.close(1, 2)
    agreed.certify("amc", "site", "1f")
    agreed.operator("revoked", {"name": "amc", "serials": ["1f"]})
    return agreed


@pytest.fixture
def copy(tmp_path):
    """An empty copy of a log, in a database of its own."""
    engine = store.open_engine(f"sqlite:///{tmp_path}/copy.db")
    store.create(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# --- entries ------------------------------------------------------------------------------


def test_seq_begins_at_0_and_has_no_gaps(history):
    records = list(store.entries(history.connection, 0, 10**6))
    assert [one.seq for one in records] == list(range(store.size_of(history.connection)))
    assert statements.read(records[0].envelope).kind == "enrolled"
    part = list(store.entries(history.connection, 3, 6))
    assert part == records[3:6]
    assert list(store.entries(history.connection, 6, 3)) == []


def test_every_column_is_derived_from_the_stored_bytes(history):
    for row in history.connection.execute(select(schema.entries)).mappings():
        statement = statements.read(row["envelope"])
        derived = entry.columns(statement)
        assert derived == {name: row[name] for name in derived}
        data = entry.leaf_data(row["seq"], row["received_at"], row["envelope"])
        assert merkle.leaf_hash(data) == row["leaf_hash"]


def test_entries_say_which_site_they_are_about(history):
    rows = history.connection.execute(
        select(schema.entries.c.kind, schema.entries.c.site).order_by(schema.entries.c.seq)
    ).all()
    assert ("certificate-issued", "amc") in rows
    assert ("contribution-made", "ucl") in rows
    assert {site for kind, site in rows if kind == "round-opened"} == {None}


def test_leaf_data_is_that_of_the_design():
    assert entry.leaf_data(7, "t", b"e") == b"concilium-entry/v1\n7\nt\ne"


def test_a_site_finds_its_own_entries(history):
    key = history.key("amc agent").key_id
    own = list(store.own_entries(history.connection, [key]))
    assert [one.counter for one in own] == list(range(1, len(own) + 1))
    assert {one.signer for one in own} == {key}
    assert [one.kind for one in own][-1] == "contribution-made"
    assert list(store.own_entries(history.connection, [key], since=own[1].seq)) == own[1:]
    assert list(store.own_entries(history.connection, [key], until=own[1].seq)) == own[:1]


# --- the tree -----------------------------------------------------------------------------


def test_the_stored_tree_is_that_of_the_leaves(history):
    c = history.connection
    hashes = leaves(c)
    assert store.head(c) == store.Head(len(hashes), merkle.root(hashes))
    for size in range(1, len(hashes) + 1):
        assert tree.root(c, size) == merkle.root(hashes[:size])


def test_every_proof_from_the_stored_nodes_is_verified(history):
    c = history.connection
    hashes = leaves(c)
    for size in range(1, len(hashes) + 1):
        root = merkle.root(hashes[:size])
        for seq in range(size):
            proof = store.inclusion(c, seq, size)
            merkle.verify_inclusion(seq, size, hashes[seq], proof, root)
            old = merkle.root(hashes[:seq])
            merkle.verify_consistency(seq, size, store.consistency(c, seq, size), old, root)


def test_an_empty_log_has_the_root_of_nothing(new):
    assert store.head(new.connection) == store.Head(0, merkle.EMPTY)
    assert store.latest_checkpoint(new.connection) is None
    assert store.consistency(new.connection, 0, 0) == []


@pytest.mark.parametrize(("old", "size"), [(0, 99), (3, 2), (-1, 2)])
def test_no_proof_is_made_of_what_is_not_there(agreed, old, size):
    with pytest.raises(Refused):
        store.consistency(agreed.connection, old, size)
    with pytest.raises(Refused):
        store.inclusion(agreed.connection, old, size)


def test_a_node_that_is_missing_stops_everything(agreed):
    c = agreed.connection
    unguarded(c, "nodes")
    c.exec_driver_sql("DELETE FROM nodes WHERE level = 2 AND idx = 0")
    with pytest.raises(Corrupt):
        store.inclusion(c, 5, 8)


# --- copies -------------------------------------------------------------------------------


def test_a_copy_is_equal_in_every_entry_node_and_projection(history, copy):
    records = list(store.entries(history.connection, 0, 10**6, disclosed=True))
    assert store.append_mirrored(copy, records[:5]) == 5
    assert store.append_mirrored(copy, records[3:]) == len(records) - 5
    assert content(copy) == content(history.connection)


def test_a_copy_may_lack_what_is_disclosed(history, copy):
    store.append_mirrored(copy, store.entries(history.connection, 0, 10**6))
    assert store.head(copy) == store.head(history.connection)
    assert content(copy)["disclosures"] == []


def test_a_copy_refuses_a_gap_a_change_and_time_going_back(history, copy):
    records = list(store.entries(history.connection, 0, 10**6))
    store.append_mirrored(copy, records[:6])
    before = content(copy)
    later = dataclasses.replace(records[2], received_at=records[3].received_at)
    earlier = dataclasses.replace(records[6], received_at=records[4].received_at)
    odd = dataclasses.replace(records[6], received_at="2026-11-21")
    other = dataclasses.replace(records[4], envelope=records[5].envelope)
    for record, rule in (
        (records[7], "entry-missing"),
        (later, "history-differs"),
        (other, "history-differs"),
        (earlier, "time-went-back"),
        (odd, "time-went-back"),
    ):
        with pytest.raises(PeerFault) as refused:
            store.append_mirrored(copy, [record])
        assert refused.value.rule == rule
    assert content(copy) == before


def test_a_copy_refuses_what_the_log_should_have_refused(history, copy):
    records = list(store.entries(history.connection, 0, 10**6))
    store.append_mirrored(copy, records[:4])
    moved = dataclasses.replace(records[5], seq=4)
    with pytest.raises(Refused):
        store.append_mirrored(copy, [moved])


# --- projections --------------------------------------------------------------------------


def test_a_rebuild_makes_every_projection_again(history):
    before = projected(history.connection)
    assert all(before[table] for table in ("keys", "consents", "rounds", "contributions"))
    projections.rebuild(history.connection)
    assert projected(history.connection) == before


def test_a_projection_that_was_edited_differs_from_its_rebuild(history):
    history.connection.execute(update(schema.consents).values(state="withdrawn"))
    before = projected(history.connection)
    projections.rebuild(history.connection)
    assert projected(history.connection) != before


def test_a_replay_needs_no_table_but_the_projections(history, copy):
    projections.replay(copy, projections.log_of(history.connection))
    assert projected(copy) == projected(history.connection)
    assert content(copy)["entries"] == []


# --- crash and company --------------------------------------------------------------------


def test_what_is_rolled_back_was_never_there(agreed):
    before = content(agreed.connection)
    point = agreed.connection.begin_nested()
    agreed.open_round(1)
    point.rollback()
    assert content(agreed.connection) == before
    agreed.open_round(1)


@pytest.mark.sqlite
def test_a_process_killed_in_mid_transaction_leaves_the_log_as_it_was(agreed, tmp_path):
    agreed.connection.commit()
    key = agreed.key("amc agent")
    statement = agreed.statement("software-started", SOFTWARE, "site/amc", key)
    agreed.connection.commit()
    path = tmp_path / "envelope"
    path.write_bytes(statement.envelope)
    script = f"""
        import os, signal
        from pathlib import Path
        from governance import statements
        from governance.ledger import store
        engine = store.open_engine("sqlite:///{tmp_path}/ledger.db")
        with engine.begin() as c:
            statement = statements.read(Path("{path}").read_bytes())
            print(store.append(c, statement, received_at=statement.at), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    before = content(agreed.connection)
    agreed.connection.commit()
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        check=False,
        cwd=os.curdir,
    )
    assert (killed.returncode, int(killed.stdout)) == (-9, len(before["entries"]))
    assert content(agreed.connection) == before
    agreed.append(statement)


def test_writers_queue_and_leave_no_gap(agreed, engine):
    each, writers = 20, ("amc", "ucl", "ki", "lumc")
    for site in writers[2:]:
        agreed.enrol_site(site)
    agreed.connection.commit()
    size = store.size_of(agreed.connection)
    agreed.connection.commit()
    faults = []

    def write(site):
        try:
            for _ in range(each):
                with engine.begin() as c:
                    mine = dataclasses.replace(agreed, connection=c)
                    mine.agent(site, "software-started", SOFTWARE)
        except Exception as fault:  # noqa: BLE001 - told in the test's own thread
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(site,)) for site in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with store.reading(engine) as c:
        records = list(store.entries(c, 0, 10**6))
        assert [one.seq for one in records] == list(range(size + each * len(writers)))
        assert store.head(c).root == merkle.root(leaves(c))


def test_a_reader_does_not_wait_for_a_writer(agreed, engine):
    agreed.connection.commit()
    agreed.agent("amc", "software-started", SOFTWARE)
    with store.reading(engine) as reader:
        assert store.size_of(reader) == store.size_of(agreed.connection) - 1


def test_a_rolled_back_founding_is_forgotten(new, authorities):
    point = new.connection.begin_nested()
    new.found()
    new.enrol("operator", "ops")
    point.rollback()
    assert store.size_of(new.connection) == 0
    new.authority, new.issuing_pem = authorities.issue()
    new.found()
    new.enrol("operator", "ops")


@pytest.mark.sqlite
def test_every_connection_is_durable_and_has_recursive_triggers(engine):
    with engine.connect() as c:
        settings = {
            name: c.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }


@pytest.mark.sqlite
def test_tables_are_made_once(engine, tmp_path):
    store.create(engine)
    raw = sqlite3.connect(tmp_path / "ledger.db")
    count = raw.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")
    assert count.fetchone() == (12,)
    raw.close()


def test_a_table_of_the_same_database_joins_the_transaction(agreed):
    point = agreed.connection.begin_nested()
    seq = agreed.open_round(1)
    agreed.connection.execute(
        insert(schema.disclosures).values(seq=seq, label="x", salt=b"", value="")
    )
    point.rollback()
    assert store.size_of(agreed.connection) == seq
