"""A coordinator's database over versions: copied first, migrated whole, moved and restored."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, inspect, text

from coordinator.backing import backup
from coordinator.foundation import Foundation
from coordinator.moving import move
from coordinator.recovering import Given, recover
from coordinator.store import moving, upgrading
from coordinator.store.parts import PARTS, STATE
from governance.ledger import revisions, source
from governance.ledger import store as ledger
from governance.ledger.revisions import Standing
from governance.ledger.verify import verify
from governance.settings import load_coordinator
from protos.errors import Refused

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SECRET = b"a long passphrase"
STAMPS = {"ledger_revision", "coordinator_revision"}
SCRIPT = """\
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("invitations", sa.Column("note", sa.String()))
"""


@pytest.fixture
def settled(folders):
    """The folder of a coordinator that does not run."""
    return folders.coordinator


@pytest.fixture
def later(tmp_path):
    """What a later version would know: a column more in the coordinator's own state."""
    scripts = tmp_path / "later"
    shutil.copytree(STATE.scripts, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "r0002_a_note.py").write_text(SCRIPT)
    ledgers, state = PARTS
    return ledgers, replace(state, scripts=scripts)


def url_of(folder):
    return load_coordinator(folder / "coordinator.yaml").database


def execute(url, *statements):
    engine = create_engine(url)
    with engine.begin() as c:
        for statement in statements:
            c.execute(text(statement))
    engine.dispose()


def unstamp(url):
    execute(url, *(f"DROP TABLE {name}" for name in STAMPS))


def contents(url):
    """Return all rows of all tables but the stamps."""
    engine = create_engine(url)
    with engine.connect() as c:
        names = sorted(set(inspect(c).get_table_names()) - STAMPS)
        found = {
            name: sorted(repr(tuple(row)) for row in c.execute(text(f"SELECT * FROM {name}")))
            for name in names
        }
    engine.dispose()
    return found


def stamps(url, parts=PARTS):
    engine = ledger.open_engine(url)
    found = revisions.look_at(engine, parts)
    engine.dispose()
    return {name: (one.standing, one.revision) for name, one in found.items()}


def current(revision="0001"):
    return {
        "ledger": (Standing.CURRENT, "0001"),
        "coordinator": (Standing.CURRENT, revision),
    }


def verified(url):
    engine = source.open_database(url)
    with engine.connect() as c:
        assert verify(source.Database(c)).verified
    engine.dispose()


def refusal(act, *args, **more):
    with pytest.raises(Refused) as refused:
        act(*args, **more)
    return refused.value


def brought_up(folder, url, later):
    """Migrate a federation, and hold what a migration promises."""
    before = contents(url)
    done = upgrading.bring_up(url, folder, at=AT, parts=later)
    assert (done.old, done.new) == ({"coordinator": "0001"}, {"coordinator": "0002"})
    assert stamps(url, later) == current("0002")
    verified(url)
    after = contents(url)
    assert len(before["entries"]) > 1
    assert after["entries"] == before["entries"]
    kept = f"sqlite:///{done.copy}"
    assert done.copy.stat().st_mode & 0o777 == 0o600
    assert contents(kept) == before
    assert stamps(kept) == current()
    verified(kept)
    return done.copy


def test_a_federation_is_migrated_and_a_copy_lies_beside_its_database(settled, later):
    copy = brought_up(settled, url_of(settled), later)
    name = "coordinator.db.ledger-0001.coordinator-0001.20261122T030000Z.backup"
    assert copy == settled / "state" / name


@pytest.mark.slow
def test_a_federation_on_postgresql_is_copied_into_a_file_of_its_folder(
    settled, later, postgresql
):
    move(settled, postgresql, at=AT)
    assert stamps(postgresql) == current()
    copy = brought_up(settled, postgresql, later)
    name = "postgresql.ledger-0001.coordinator-0001.20261122T030000Z.backup"
    assert copy == settled / "state" / name


def test_an_older_coordinator_refuses_what_a_newer_one_migrated(settled, later):
    url = url_of(settled)
    copy = upgrading.bring_up(url, settled, at=AT, parts=later).copy
    before = contents(url)
    for _ in range(2):  # the folder is let go each time
        refused = refusal(Foundation.open, settled)
        assert refused.rule == "store-newer"
        assert copy.name in refused.todo
    assert refusal(move, settled, "sqlite:///state/else.db", at=AT).rule == "store-newer"
    lost = settled / "state" / "lost.backup"
    assert refusal(backup, settled, lost, passphrase=SECRET).rule == "store-newer"
    assert contents(url) == before
    shutil.copy(copy, settled / "state" / "coordinator.db")
    Foundation.open(settled).close_now()


def test_a_database_from_before_stamps_is_taken_over_where_it_is_served(settled):
    url = url_of(settled)
    unstamp(url)
    before = contents(url)
    Foundation.open(settled).close_now()
    assert stamps(url) == current()
    assert contents(url) == before


def test_a_moved_database_is_stamped(settled):
    there = f"sqlite:///{settled / 'state' / 'elsewhere.db'}"
    move(settled, there, at=AT)
    assert stamps(there) == current()


def test_a_backup_of_an_older_version_is_copied_as_it_is(settled, later, tmp_path):
    url, there = url_of(settled), f"sqlite:///{tmp_path / 'copy.db'}"
    moving.snapshot(url, there, parts=later)
    assert stamps(there, later)["coordinator"] == (Standing.OLDER, "0001")
    assert contents(there) == contents(url)
    upgrading.bring_up(there, tmp_path, at=AT, parts=later)
    assert stamps(there, later) == current("0002")


def test_a_backup_of_an_older_version_is_migrated_where_it_is_recovered(settled, tmp_path):
    unstamp(url_of(settled))
    backup(settled, tmp_path / "backup", passphrase=SECRET)
    new = tmp_path / "new"
    given = Given((), ())
    recover(tmp_path / "backup", new, passphrase=SECRET, given=given, now=datetime.now(UTC))
    assert stamps(url_of(new)) == current()


def test_nothing_is_moved_into_tables_of_another_version(settled, later, tmp_path):
    taken = f"sqlite:///{settled / 'state' / 'taken.db'}"
    engine = ledger.open_engine(taken)
    revisions.settle(engine, later)
    engine.dispose()
    assert refusal(move, settled, taken, at=AT).rule == "cannot-move"
    assert stamps(taken, later) == current("0002")
