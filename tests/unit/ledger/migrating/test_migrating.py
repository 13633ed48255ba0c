"""A log of an older version: copied, migrated whole or not at all, no entry changed."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from ahead import AT, COLUMN, everything, later, rows
from sqlalchemy import Column, MetaData, String, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from governance.ledger import granting, migrating, projections, revisions, source, store, views
from governance.ledger.copying import Copies
from governance.ledger.making import LEDGER
from governance.ledger.revisions import Found, Standing
from governance.ledger.verify import verify
from protos.errors import Corrupt, Refused, Unavailable, exit_code

RECORD = ("entries", "nodes", "checkpoints", "cosignatures", "disclosures")
TABLE = 'op.create_table("later", sa.Column("one", sa.Integer(), primary_key=True))'


def bring_up(engine, part, copies):
    return migrating.bring_up(engine, (part,), copies=copies, at=AT)


def standing(engine, part):
    return revisions.look_at(engine, (part,))[part.name]


def refusal(act, *args, **more):
    with pytest.raises(Refused) as refused:
        act(*args, **more)
    assert exit_code(refused.value) == 2
    assert refused.value.todo
    return refused.value


def unstamp(engine):
    with engine.begin() as c:
        c.execute(text("DROP TABLE ledger_revision"))


# --- migrating ---------------------------------------------------------------------------


@pytest.mark.parametrize("does", [COLUMN, TABLE], ids=["a-column", "a-table"])
def test_a_migration_leaves_the_record_byte_for_byte(lived, copies, tmp_path, does):
    before = everything(lived)
    part = later(LEDGER, tmp_path, does)
    done = bring_up(lived, part, copies)
    assert (done.old, done.new) == ({"ledger": "0001"}, {"ledger": "0002"})
    assert standing(lived, part) == Found(Standing.CURRENT, "0002")
    after = everything(lived)
    assert {name: after[name] for name in RECORD} == {name: before[name] for name in RECORD}
    with store.reading(lived) as c:
        assert verify(source.Database(c)).verified


def test_the_log_goes_on_after_a_migration(lived, copies, tmp_path):
    part = later(LEDGER, tmp_path)
    bring_up(lived, part, copies)
    revisions.settle(lived, (part,))
    with lived.begin() as c:
        projections.rebuild(c)
    assert bring_up(lived, part, copies) is None


@pytest.mark.parametrize("table", ["entries", "nodes", "checkpoints"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET {}"])
def test_the_triggers_stand_after_a_migration(lived, copies, tmp_path, table, change):
    bring_up(lived, later(LEDGER, tmp_path), copies)
    column = {"entries": "seq = 99", "nodes": "level = 9", "checkpoints": "size = 9"}[table]
    with lived.connect() as c, pytest.raises(DBAPIError, match="append-only"):
        c.execute(text(change.format(table, column)))


def test_the_views_are_made_anew_after_a_migration(lived, copies, tmp_path):
    bring_up(lived, later(LEDGER, tmp_path), copies)
    with lived.connect() as c:
        assert set(inspect(c).get_view_names()) == set(views.VIEWS)
        assert c.execute(text("SELECT count(*) FROM audit_consents")).scalar() == 2


def test_what_follows_from_the_entries_is_made_anew_by_a_migration(lived, copies, tmp_path):
    before = rows(lived, "consents")
    part = later(LEDGER, tmp_path, "op.execute('DELETE FROM consents')")
    bring_up(lived, part, copies)
    assert before
    assert rows(lived, "consents") == before


def test_a_script_that_fails_midway_leaves_the_old_store_whole(lived, copies, tmp_path):
    before = everything(lived)
    part = later(LEDGER, tmp_path, f"{TABLE}; {COLUMN}; raise ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        bring_up(lived, part, copies)
    assert everything(lived) == before
    assert standing(lived, part) == Found(Standing.OLDER, "0001")
    assert copies.newest([LEDGER]) is None
    with lived.connect() as c:
        assert set(inspect(c).get_view_names()) == set(views.VIEWS)


@pytest.mark.parametrize(
    "does",
    [
        "op.execute('DROP TRIGGER entries_only_new{on}')",
        "op.execute('DROP TRIGGER {name}{on}'); op.execute('UPDATE entries SET seq = seq + 9')",
    ],
    ids=["a-trigger-lost", "entries-rewritten"],
)
def test_a_script_that_touches_the_record_is_undone(lived, copies, tmp_path, does):
    on = " ON entries" if lived.dialect.name == "postgresql" else ""
    told = does.format(on=on, name="entries_no_change" if on else "entries_no_update")
    part = later(LEDGER, tmp_path, told)
    before = everything(lived)
    with pytest.raises(Corrupt) as refused:
        bring_up(lived, part, copies)
    assert refused.value.rule == "migration-unsafe"
    assert everything(lived) == before


@pytest.mark.slow
@pytest.mark.sqlite
def test_a_kill_midway_leaves_the_old_store_whole(lived, copies, tmp_path):
    before = everything(lived)
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    part = later(LEDGER, tmp_path, f"{TABLE}; {COLUMN}; {kill}")
    (tmp_path / "scripts").write_bytes(pickle.dumps((part.scripts, str(lived.url))))
    program = (
        "import pickle, sys; from dataclasses import replace; from datetime import datetime;"
        "from pathlib import Path; from governance.ledger import migrating, store;"
        "from governance.ledger.making import LEDGER;"
        "from governance.ledger.copying import Copies;"
        "scripts, url = pickle.loads(Path(sys.argv[1]).read_bytes());"
        "e = store.open_engine(url); part = replace(LEDGER, scripts=scripts);"
        "migrating.bring_up(e, (part,), copies=Copies(Path(e.url.database)),"
        " at=datetime(2026, 11, 22))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "scripts"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert everything(lived) == before
    with store.reading(lived) as c:
        assert verify(source.Database(c)).verified
    assert bring_up(lived, later(LEDGER, tmp_path / "again"), copies)


# --- the copy ----------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_copy_is_kept_first_as_the_store_was(lived, copies, tmp_path):
    before = everything(lived)
    done = bring_up(lived, later(LEDGER, tmp_path), copies)
    assert done.copy.name == "ledger.db.ledger-0001.20261122T030000Z.backup"
    assert done.copy.stat().st_mode & 0o777 == 0o600
    assert str(done.copy) in done.sentence
    kept = create_engine(f"sqlite:///{done.copy}")
    assert everything(kept) == before
    kept.dispose()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(done.copy.name + "-")]


@pytest.mark.sqlite
def test_without_a_copy_nothing_is_migrated(lived, tmp_path):
    before = everything(lived)
    nowhere = Copies(tmp_path / "nowhere" / "ledger.db")
    with pytest.raises(Unavailable) as refused:
        bring_up(lived, later(LEDGER, tmp_path), nowhere)
    assert refused.value.rule == "store-unavailable"
    assert everything(lived) == before


# --- other versions ----------------------------------------------------------------------


def test_an_older_program_refuses_a_newer_store_and_names_the_copy(lived, copies, tmp_path):
    done = bring_up(lived, later(LEDGER, tmp_path), copies)
    before = everything(lived)
    refused = refusal(bring_up, lived, LEDGER, copies)
    assert refused.rule == "store-newer"
    assert done.copy.name in refused.todo
    assert refusal(store.create, lived).rule == "store-newer"
    assert everything(lived) == before


def test_whoever_does_not_own_an_older_store_leaves_it_alone(lived, tmp_path):
    before = everything(lived)
    refused = refusal(revisions.settle, lived, (later(LEDGER, tmp_path),))
    assert refused.rule == "store-older"
    assert everything(lived) == before


def test_tables_from_before_there_were_stamps_are_adopted(lived):
    unstamp(lived)
    before = everything(lived)
    store.create(lived)
    after = everything(lived)
    assert after.pop("ledger_revision") == ["('0001',)"]
    assert after == before


def test_tables_from_before_there_were_stamps_are_migrated(lived, copies, tmp_path):
    unstamp(lived)
    part = later(LEDGER, tmp_path)
    assert bring_up(lived, part, copies).old == {"ledger": "0001"}
    assert standing(lived, part).standing is Standing.CURRENT


@pytest.mark.parametrize(
    "change", ["ALTER TABLE acts ADD COLUMN more INTEGER", "DROP TABLE handed"]
)
def test_tables_that_no_version_made_are_refused(lived, copies, change):
    unstamp(lived)
    with lived.begin() as c:
        c.execute(text(change))
    before = everything(lived)
    assert refusal(store.create, lived).rule == "store-unknown"
    assert refusal(bring_up, lived, LEDGER, copies).rule == "store-unknown"
    assert everything(lived) == before


# --- readers -----------------------------------------------------------------------------


def opened(engine):
    url = engine.url.render_as_string(hide_password=False)
    source.open_database(url).dispose()


def test_a_reader_refuses_a_newer_store(lived, copies, tmp_path):
    bring_up(lived, later(LEDGER, tmp_path), copies)
    assert refusal(opened, lived).rule == "store-newer"


def test_a_reader_reads_an_older_store_that_has_all_it_asks_for(lived, tmp_path):
    part = later(LEDGER, tmp_path, TABLE)
    with store.reading(lived) as c:
        revisions.refuse_unreadable(c, part)


def test_a_reader_refuses_an_older_store_that_lacks_something(lived, tmp_path):
    metadata = MetaData()
    for table in LEDGER.metadata.tables.values():
        table.to_metadata(metadata)
    metadata.tables["consents"].append_column(Column("note", String(8)))
    part = replace(later(LEDGER, tmp_path), metadata=metadata)
    before = everything(lived)
    with store.reading(lived) as c:
        refused = refusal(revisions.refuse_unreadable, c, part)
    assert refused.rule == "store-older"
    assert everything(lived) == before


# --- roles -------------------------------------------------------------------------------


@pytest.fixture
def guarded(lived):
    """A log that roles guard; the roles go with the test."""
    with lived.begin() as c:
        for role in ("app", "regulator"):
            c.execute(text(f"CREATE ROLE {role}"))
        for statement in granting.grants("app", auditor="regulator"):
            c.execute(text(statement))
    yield lived
    with lived.begin() as c:
        for role in ("app", "regulator"):
            c.execute(text(f"DROP OWNED BY {role}"))
            c.execute(text(f"DROP ROLE {role}"))


def acting(engine, role):
    """Return the engine of somebody who connects as a role."""
    return create_engine(engine.url, connect_args={"options": f"-c role={role}"})


@pytest.mark.postgresql
def test_an_auditors_role_reads_the_views_after_a_migration_too(guarded, copies, tmp_path):
    bring_up(guarded, later(LEDGER, tmp_path), copies)
    reader = acting(guarded, "regulator")
    for name in views.VIEWS.keys() - {views.DISCLOSED}:
        rows(reader, name)
    with pytest.raises(DBAPIError, match="permission denied"):
        rows(reader, views.DISCLOSED)
    reader.dispose()


@pytest.mark.postgresql
def test_a_role_that_does_not_own_the_tables_cannot_migrate_them(guarded, copies, tmp_path):
    before = everything(guarded)
    application = acting(guarded, "app")
    refused = refusal(bring_up, application, later(LEDGER, tmp_path), copies)
    assert refused.rule == "store-not-owner"
    application.dispose()
    assert everything(guarded) == before


@pytest.mark.postgresql
def test_a_role_that_does_not_own_the_tables_uses_those_that_are_current(guarded):
    application = acting(guarded, "app")
    store.create(application)
    application.dispose()
