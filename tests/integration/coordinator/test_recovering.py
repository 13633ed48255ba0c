"""A destroyed coordinator comes back from a backup and a hospital's copy, and goes on."""

from __future__ import annotations

import gc
import shutil
from datetime import UTC, datetime

import pytest
from federations import close_ledgers, ledger_of
from folders import found
from sqlalchemy import delete

from coordinator.backing import backup
from coordinator.foundation import Foundation
from coordinator.moving import move
from coordinator.recovering import Given, recover
from coordinator.starting import say_started
from governance import archive
from governance.ledger import rebuild, source
from governance.ledger import store as ledger
from governance.ledger.schema import disclosures
from governance.ledger.verify import verify
from protos.errors import Corrupt, Refused
from protos.words import Proposal

SECRET = b"a long passphrase"


def recovered(file, folder, *, passphrase=SECRET, copies=(), identities=()):
    given = Given(copies, identities)
    return recover(file, folder, passphrase=passphrase, given=given, now=datetime.now(UTC))


def copy_of(url, path):
    """Write what a hospital keeps of a log: all but the values that others disclose."""
    engine = ledger.open_engine(f"sqlite:///{path}")
    ledger.create(engine)
    with ledger_of(url) as c, engine.begin() as there:
        rebuild.load(there, source.Database(c))
        there.execute(delete(disclosures))
    engine.dispose()
    return path


def works(fed):
    for site in fed.sites.values():
        site.works()


def closed(fed, round_):
    return any(row[0] == round_ and row[2] == "closed" for row in fed.rounds())


async def lost(fed):
    """End the coordinator, and all that lies on its machine."""
    for site in fed.sites.values():
        await site.close()
    await fed.stop()
    close_ledgers()
    shutil.rmtree(fed.folders.coordinator)


def relink(fed):
    """Let each site go on from what the log holds, and forget what the lost one asked."""
    with ledger_of(fed.url) as c:
        for site in fed.sites.values():
            site.inbox.clear()
            site.chains = {key: ledger.chain_of(c, key) for key in site.chains}


@pytest.fixture
def settled(folders):
    """The folder of a coordinator that does not run."""
    return folders.coordinator


@pytest.mark.slow
async def test_yesterdays_backup_and_a_hospitals_copy_bring_back_every_entry(fed, tmp_path):
    await fed.in_force(changes={"schedule.rounds": 3})
    folder, file = fed.folders.coordinator, tmp_path / "yesterday"
    backup(folder, file, passphrase=SECRET)  # while it runs, in its first round
    await fed.act("operator-acted", {"act": "pause"}, told={"reason": "an audit"})
    await fed.operator_acts("resume")
    works(fed)
    await fed.until(lambda: closed(fed, 2))
    for site in fed.sites.values():
        await site.close()
    await fed.stop()
    copy = copy_of(fed.url, tmp_path / "amc.db")
    models = tmp_path / "kept"
    shutil.copytree(folder / "state" / "models", models)
    before = [e.digest for e in fed.entries()]
    await lost(fed)

    back = recovered(file, folder, copies=[copy])
    assert back.size > back.backup
    after = [e.digest for e in fed.entries()]
    assert after[: back.size] == before[: back.size]
    assert fed.entries("log-recovered")[0].body == {"backup": back.backup, "size": back.size}
    assert "is not in the backup" in " ".join(back.missing)  # the model of round 2

    shutil.copytree(models, folder / "state" / "models", dirs_exist_ok=True)
    await fed.start()
    relink(fed)
    await fed.operator_acts("resume")
    await fed.come()
    works(fed)
    await fed.until(lambda: closed(fed, 3))
    fed.verified()


@pytest.mark.slow
async def test_two_operators_sign_a_recovery_where_the_agreement_says_so(fed, tmp_path):
    terms = {"operators.two_for": ["recover"]}
    document = await fed.propose(operators=("van-dijk", "rossi"), changes=terms)
    for site in await fed.come():
        await site.next(Proposal, document=document.raw)
        await site.consent(document)
    await fed.until(lambda: fed.entries("agreement-in-force"))
    file, folder = tmp_path / "backup", fed.folders.coordinator
    backup(folder, file, passphrase=SECRET)
    with pytest.raises(Refused) as refused:
        recovered(file, tmp_path / "new")
    assert refused.value.rule == "two-operators"
    both = (folder / "operators" / "van-dijk", fed.folders.sites / "rossi")
    recovered(file, tmp_path / "new", identities=both)
    with ledger_of(f"sqlite:///{tmp_path / 'new' / 'state' / 'coordinator.db'}") as c:
        assert verify(source.Database(c)).verified


def test_a_backup_says_nothing_without_its_passphrase(settled, tmp_path):
    file = tmp_path / "backup"
    backup(settled, file, passphrase=SECRET)
    assert file.stat().st_mode & 0o077 == 0
    assert b"PRIVATE KEY" not in file.read_bytes()


def test_a_wrong_passphrase_is_refused(settled, tmp_path):
    file = tmp_path / "backup"
    backup(settled, file, passphrase=SECRET)
    with pytest.raises(Refused) as refused:
        recovered(file, tmp_path / "new", passphrase=b"another")
    assert refused.value.rule == "wrong-passphrase"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", [100, -1], ids=["in-a-part", "in-the-last-tag"])
def test_an_altered_byte_is_refused_and_nothing_is_left(settled, tmp_path, place):
    file = tmp_path / "backup"
    backup(settled, file, passphrase=SECRET)
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(Corrupt) as refused:
        recovered(file, tmp_path / "new")
    assert refused.value.rule == "backup-altered"
    assert [p.name for p in tmp_path.iterdir() if "new" in p.name] == []


def test_a_copy_of_another_federation_is_refused(settled, tmp_path):
    backup(settled, tmp_path / "backup", passphrase=SECRET)
    other = found(tmp_path / "other")
    url = f"sqlite:///{other.coordinator / 'state' / 'coordinator.db'}"
    copy = copy_of(url, tmp_path / "other.db")
    with pytest.raises(Refused) as refused:
        recovered(tmp_path / "backup", tmp_path / "new", copies=[copy])
    assert refused.value.rule == "copy-of-another"


@pytest.fixture
def forked(settled, tmp_path):
    """A backup, and a copy of a log that went on in another way."""
    first = copied_folder(settled, tmp_path / "one")
    second = copied_folder(settled, tmp_path / "two")
    go_on(first)
    go_on(second)
    backup(first, tmp_path / "backup", passphrase=SECRET)
    return copy_of(f"sqlite:///{second / 'state' / 'coordinator.db'}", tmp_path / "copy.db")


def test_a_copy_that_forks_is_refused(forked, tmp_path):
    with pytest.raises(Refused) as refused:
        recovered(tmp_path / "backup", tmp_path / "new", copies=[forked])
    assert refused.value.rule == "copy-forked"


def test_a_copy_that_is_refused_says_nothing_of_cursors(forked, tmp_path, caplog):
    with pytest.raises(Refused):
        recovered(tmp_path / "backup", tmp_path / "new", copies=[forked])
    gc.collect()
    assert "cursor" not in caplog.text


def test_entries_that_no_hospital_cosigned_are_not_taken_from_a_copy(settled, tmp_path):
    backup(settled, tmp_path / "backup", passphrase=SECRET)
    go_on(settled)
    copy = copy_of(f"sqlite:///{settled / 'state' / 'coordinator.db'}", tmp_path / "copy.db")
    back = recovered(tmp_path / "backup", tmp_path / "new", copies=[copy])
    assert back.size == back.backup


def test_a_folder_that_holds_anything_is_not_recovered_into(settled, tmp_path):
    backup(settled, tmp_path / "backup", passphrase=SECRET)
    with pytest.raises(Refused) as refused:
        recovered(tmp_path / "backup", settled)
    assert refused.value.rule == "folder-taken"


def test_a_hospitals_backup_is_no_federations(settled, tmp_path):
    with archive.written(tmp_path / "backup", passphrase=SECRET) as add:
        add(settled / "coordinator.yaml", "site.yaml")
    with pytest.raises(Refused) as refused:
        recovered(tmp_path / "backup", tmp_path / "new")
    assert refused.value.rule == "no-backup"
    assert not (tmp_path / "new").exists()


def test_a_backup_is_never_overwritten(settled, tmp_path):
    backup(settled, tmp_path / "backup", passphrase=SECRET)
    with pytest.raises(Refused) as refused:
        backup(settled, tmp_path / "backup", passphrase=SECRET)
    assert refused.value.rule == "backup-exists"


def copied_folder(folder, place):
    shutil.copytree(folder, place)
    return place


def go_on(folder):
    """Let the log grow by an entry that says when it was made."""
    base = Foundation.open(folder)
    base.store.write_now(lambda c: say_started(base, c))
    base.close_now()


@pytest.mark.slow
def test_a_federation_on_postgresql_is_backed_up_and_comes_back_on_sqlite(
    settled, tmp_path, postgresql
):
    move(settled, postgresql, at=datetime.now(UTC))
    path = settled / "coordinator.yaml"
    lines = path.read_text().splitlines()
    there = f"database: {postgresql}"
    path.write_text("\n".join(there if one.startswith("database:") else one for one in lines))
    size = backup(settled, tmp_path / "backup", passphrase=SECRET)
    back = recovered(tmp_path / "backup", tmp_path / "new")
    assert back.size == size > 0
    Foundation.open(tmp_path / "new").close_now()
