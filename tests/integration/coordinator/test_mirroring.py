"""An auditor's program mirrors the log over TLS, checks it, and answers from the mirror."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from federations import SITES, Here, ledger_of
from sqlalchemy import text

from coordinator.pace import Allowance, Pace
from governance import statements
from governance.ledger import cli, merkle, mirror, remote, source
from governance.ledger import store as ledger
from governance.ledger.schema import disclosures
from governance.ledger.verify import verify
from protos.errors import Corrupt, Refused, Unavailable

ALL = {"disclosures.visible_to": "members", "quality.visible_to": "all"}


def server_of(fed):
    return fed.folders.identity("edpb").coordinator


async def mirrored(fed, name="edpb"):
    """Bring a member's mirror up to date, as the program does, and return its file."""

    def following():
        identity = fed.folders.identity(name)
        with remote.LogLine(identity, identity.coordinator) as line:
            return mirror.follow(identity.folder, line, identity.log, at=datetime.now(UTC))

    return await asyncio.to_thread(following)


def told(path):
    """Return (kind, actor, label) of what a mirror has of disclosures."""
    with ledger_of(f"sqlite:///{path}") as c:
        rows = [(row.seq, row.label) for row in c.execute(disclosures.select())]
        kinds = {e.seq: statements.read(e.envelope) for e in ledger.entries(c, 0, 10**6)}
    return {(kinds[seq].kind, kinds[seq].actor, label) for seq, label in rows}


def size_of(path):
    with ledger_of(f"sqlite:///{path}") as c:
        return ledger.size_of(c)


async def a_round(fed, **terms):
    """Hold one round to its end."""
    await fed.in_force(changes={"schedule.rounds": 1, **terms.pop("changes", {})}, **terms)
    for site in fed.sites.values():
        site.works()
    await fed.until(lambda: len(fed.entries("agreement-complete")) == 1)


@pytest.mark.parametrize("name", ["edpb", "amc", "rossi"])
async def test_auditor_site_and_operator_mirror_a_log_that_verifies(fed, name):
    await fed.in_force()
    path = await mirrored(fed, name)
    with ledger_of(f"sqlite:///{path}") as c:
        verdict = verify(source.Database(c))
    assert verdict.verified, verdict.sentence
    assert verdict.entries == verdict.checkpoint_size > 0


async def test_mirror_goes_on_where_it_stood(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    before = size_of(await mirrored(fed))
    for site in fed.sites.values():
        site.works()
    await fed.until(lambda: len(fed.entries("agreement-complete")) == 1)
    path = await mirrored(fed)
    assert size_of(path) > before
    with ledger_of(f"sqlite:///{path}") as c:
        assert verify(source.Database(c)).verified


@pytest.mark.slow
async def test_every_verb_answers_from_the_mirror(fed, monkeypatch, capsys):
    await a_round(fed)
    identity = fed.folders.identity("edpb").folder

    def asking(*words):
        said = [*words, "--server", server_of(fed), "--identity", str(identity)]
        monkeypatch.setattr(sys, "argv", ["concilium-ledger", *said, "--format", "json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        assert not ended.value.code, out.err
        said = out.out[out.out.index("{\n") :]  # after what the coordinator here logs
        return json.JSONDecoder().raw_decode(said)[0]

    assert (await asyncio.to_thread(asking, "verify"))["verified"]
    said = await asyncio.to_thread(asking, "consents")
    assert sorted(row["site"] for row in said["rows"]) == sorted(SITES)


async def test_revoked_auditor_is_refused_and_its_mirror_stays(fed):
    await fed.in_force()
    path = await mirrored(fed)
    before = size_of(path)
    await fed.revoke("edpb")
    with pytest.raises(Refused) as refused:
        await mirrored(fed)
    assert refused.value.rule == "revoked"
    assert size_of(path) == before


async def test_nobody_there_is_said_in_a_sentence(fed):
    await fed.in_force()
    await fed.stop()
    with pytest.raises(Unavailable) as away:
        await mirrored(fed)
    assert away.value.rule == "unreachable"
    await fed.start()


async def test_caller_over_its_requests_is_refused_and_others_go_on(fed):
    await fed.in_force()
    fed.base.pace = Pace(requests=Allowance(0.001, 2))
    await mirrored(fed)
    with pytest.raises(Unavailable) as refused:
        await mirrored(fed)
    assert refused.value.rule == "too-fast"
    await mirrored(fed, "rossi")


async def test_caller_over_its_entries_is_refused_until_it_owes_none(fed):
    await fed.in_force()
    fed.base.pace = Pace(entries=Allowance(10**6, 10))
    await mirrored(fed)
    fed.base.pace = Pace(entries=Allowance(0.001, 10))
    fed.base.pace.send("auditor/edpb", 20, at_s=asyncio.get_running_loop().time())
    with pytest.raises(Unavailable, match="more entries"):
        await mirrored(fed)
    await mirrored(fed, "amc")


# --- disclosures --------------------------------------------------------------------------


@pytest.mark.slow
async def test_what_members_may_see_is_in_everybodys_mirror(fed):
    await a_round(fed, changes=ALL)
    for name in ("edpb", "amc", "rossi"):
        seen = told(await mirrored(fed, name))
        assert ("consent-given", "site/ucl", "officer") in seen
        assert ("evaluation-made", "site/ucl", "figures") in seen


async def test_what_auditors_may_see_is_in_no_other_members_mirror(fed):
    await fed.in_force(changes={"disclosures.visible_to": "auditors"})
    seen = {name: told(await mirrored(fed, name)) for name in ("edpb", "amc", "rossi")}
    assert ("consent-given", "site/ucl", "officer") in seen["edpb"]
    assert seen["amc"] == {
        ("consent-given", "site/amc", "officer"),
        ("consent-given", "site/amc", "role"),
    }
    assert seen["rossi"] == set()


async def test_own_sites_figures_are_shown_to_that_site_alone(fed):
    await a_round(fed)
    figures = {
        name: {
            actor for _, actor, label in told(await mirrored(fed, name)) if label == "figures"
        }
        for name in ("edpb", "amc")
    }
    assert figures == {"edpb": set(), "amc": {"site/amc"}}


async def test_reason_under_no_agreement_is_shown_to_auditors_alone(fed):
    await fed.revoke("rossi")
    await fed.in_force()
    reason = ("revoked", "operator/van-dijk", "reason")
    assert reason in told(await mirrored(fed))
    assert reason not in told(await mirrored(fed, "amc"))


# --- a log that is not what it was ----------------------------------------------------------


def altered(c):
    """Put another first leaf into the tree, and all that follows from it."""
    above = c.execute(text("SELECT max(level) FROM nodes WHERE idx = 0")).scalar()
    found = bytes(32)
    for level in range(above + 1):
        if level:
            right = text("SELECT hash FROM nodes WHERE level = :level AND idx = 1")
            beside = c.execute(right, {"level": level - 1}).scalar_one()
            found = merkle.node_hash(found, beside)
        change = text("UPDATE nodes SET hash = :hash WHERE level = :level AND idx = 0")
        c.execute(change, {"hash": found, "level": level})


def cut(c):
    """Take the last entries back."""
    size = ledger.size_of(c) - 5
    c.execute(text("DELETE FROM entries WHERE seq >= :size"), {"size": size})
    c.execute(text("DELETE FROM nodes WHERE (idx + 1) << level > :size"), {"size": size})


def rewrite(fed, how):
    """Let the coordinator sign a head over what it made of its database."""
    with fed.base.store.engine.begin() as c:
        triggers = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for trigger in c.execute(triggers).scalars().all():
            c.execute(text(f'DROP TRIGGER "{trigger}"'))
        how(c)
        c.execute(text("DELETE FROM cosignatures"))
        c.execute(text("DELETE FROM checkpoints"))
        ledger.sign_checkpoint(c, fed.base.chronicle.key, fed.base.chronicle.log.origin)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM entries WHERE seq >= 20",
        "DELETE FROM entries",
        "UPDATE keys SET until_seq = 3",
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 1",
        "DROP TABLE nodes",
    ],
)
async def test_mirror_that_was_altered_is_named_and_accuses_nobody(fed, change):
    await fed.in_force()
    path = await mirrored(fed)
    with closing(sqlite3.connect(path)) as db:
        asked = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (trigger,) in db.execute(asked).fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute(change)
        db.commit()
    with pytest.raises(Corrupt) as found:
        await mirrored(fed)
    assert found.value.rule == "mirror-altered"


@pytest_asyncio.fixture
async def two_faced(folders):
    """A coordinator whose log nobody checks at the end of the test."""
    here = await Here(folders).start()
    yield here
    await here.end()


@pytest.mark.parametrize("how", [altered, cut])
async def test_rewritten_log_is_refused_and_both_notes_are_kept(two_faced, how):
    fed = two_faced
    await fed.in_force()
    path = await mirrored(fed)
    size = size_of(path)
    rewrite(fed, how)
    with pytest.raises(Refused) as refused:
        await mirrored(fed)
    assert refused.value.rule == "history-rewritten"
    notes = {p.name.split("-")[0]: p for p in (path.parent / mirror.EVIDENCE).iterdir()}
    assert sorted(notes) == ["kept", "shown"]
    assert notes["kept"].read_text() != notes["shown"].read_text()
    assert size_of(path) == size
