"""Where no copy reaches the last known head, a new log begins only if that is wanted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from federations import ledger_of
from test_recovering import SECRET, closed, copy_of, lost, relink, works

from coordinator.backing import backup
from coordinator.recovering import Given, recover
from governance.ledger import store as ledger
from protos.errors import Refused


def recovered(file, folder, **given):
    return recover(file, folder, passphrase=SECRET, given=Given(**given), now=datetime.now(UTC))


def latest(fed):
    """The log's latest head with all its cosignatures, as somebody keeps it."""
    with ledger_of(fed.url) as c:
        return ledger.latest_checkpoint(c)


def size_of(head):
    return int(head.splitlines()[1])


def newer(head, size):
    """Tell whether a head covers more than a backup, and a hospital cosigned it."""
    return size_of(head) > size and "/site/" in head


@pytest.fixture
async def destroyed(fed, tmp_path):
    """A federation with a backup of its first round, a head of its second, and no machine."""
    changes = {"schedule.rounds": 3, "sites.ready_at_least": 2}
    fed.document_in_force = await fed.in_force(changes=changes)
    size = backup(fed.folders.coordinator, tmp_path / "backup", passphrase=SECRET)
    works(fed)
    await fed.until(lambda: closed(fed, 1) and newer(latest(fed), size))
    (tmp_path / "head").write_text(latest(fed))
    for site in fed.sites.values():
        await site.close()
    await fed.stop()
    copy_of(fed.url, tmp_path / "amc.db")
    await lost(fed)
    return tmp_path


def test_a_head_that_no_copy_reaches_stops_a_recovery_that_says_what_is_missing(destroyed, fed):
    head = destroyed / "head"
    with pytest.raises(Refused) as refused:
        recovered(destroyed / "backup", fed.folders.coordinator, checkpoints=[head])
    assert refused.value.rule == "copies-too-short"
    assert f"signed a head of {size_of(head.read_text())}" in refused.value.what
    assert "entries, from 20" in refused.value.what
    assert "--new-log" in refused.value.todo
    assert not fed.folders.coordinator.exists()
    recovered(destroyed / "backup", fed.folders.coordinator, copies=[destroyed / "amc.db"])


@pytest.mark.slow
def test_no_new_log_begins_where_nothing_is_lost(destroyed, fed):
    given = {"copies": [destroyed / "amc.db"], "checkpoints": [destroyed / "head"]}
    with pytest.raises(Refused) as refused:
        recovered(destroyed / "backup", fed.folders.coordinator, new_log=True, **given)
    assert refused.value.rule == "nothing-lost"
    recovered(destroyed / "backup", fed.folders.coordinator, **given)


def test_a_head_that_the_log_did_not_sign_is_no_loss(destroyed, fed):
    head = destroyed / "head"
    head.write_text(head.read_text().replace(" ", "  ", 1))
    with pytest.raises(Refused) as refused:
        recovered(destroyed / "backup", fed.folders.coordinator, checkpoints=[head])
    assert refused.value.rule == "no-head"
    recovered(destroyed / "backup", fed.folders.coordinator)


@pytest.mark.slow
async def test_a_new_log_goes_on_with_the_hospitals_that_accept_it(destroyed, fed):
    given = {"checkpoints": [destroyed / "head"], "new_log": True}
    back = recovered(destroyed / "backup", fed.folders.coordinator, **given)
    (declared,) = fed.entries("log-recovered")
    assert declared.body["lost"] == size_of((destroyed / "head").read_text()) - back.size
    await fed.start()
    relink(fed)
    sites = await fed.come()
    assert fed.running() is None
    works(fed)
    for site in sites[:2]:
        body = {
            "declared": declared.digest,
            "review": "00" * 32,
            "held": (destroyed / "head").read_text(),
            "lost": 0,
            "spent": {},
        }
        await site.must_say("log-accepted", body, key=site.officer)
    await fed.until(lambda: closed(fed, 1))
    opened = fed.entries("round-opened")[-1]
    assert opened.body["sites"] == [site.name for site in sites[:2]]
    (told,) = fed.verified().new_logs
    assert sorted(told.accepted) == [site.name for site in sites[:2]]
