"""A store that was put back is noticed by the ledger, and goes on with what was spent."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
import standing
from programs import SITE, Running, refused
from standing import SITES

from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release

pytestmark = pytest.mark.long
NAME = SITES[0]
ROUNDS = 40


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Three hospitals that were asked to consent to many short rounds."""
    base = tmp_path_factory.mktemp("lasting")
    terms = {
        "schedule.rounds": ROUNDS,
        "round.local.steps": 2,
        "privacy.noise_multiplier": 6.0,
        "strategy": {"name": "scaffold", "server_rate": 1.0},
    }
    standing.found(base / "fed", standing.of_three(base / "agreement.yaml", **terms))
    return base / "fed"


@pytest.fixture
def fed(lasting, tmp_path):
    """A federation in which a round is closed."""
    fed = standing.copied(lasting, tmp_path / "fed")
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.closed() >= 1, why="for a round")
    yield fed
    fed.end()


def state_of(fed):
    return fed.site_file(NAME).parent / "state"


def kept_by_hand(fed, place):
    """Copy the state folder as somebody with a shell does, while no agent runs."""
    fed.stop(NAME)
    shutil.copytree(state_of(fed), place, ignore=shutil.ignore_patterns("agent.sock"))
    fed.run(NAME)


def put_back(fed, place):
    shutil.rmtree(state_of(fed))
    shutil.copytree(place, state_of(fed))


def more_rounds(fed, number=2):
    closed = fed.closed()
    fed.until(lambda: fed.closed() >= closed + number, why="for more rounds")


def in_log(fed):
    return fed.rows(
        "SELECT sampling_rate, noise_multiplier, steps FROM reservations WHERE site = ?", NAME
    )


def starts_and_stops(fed):
    """Start the agent with its store, which it must refuse, and return how it ended."""
    agent = Running(SITE, "run", "--site", fed.site_file(NAME))
    try:
        return agent.ended()
    finally:
        agent.end()


def recovered(fed, *more):
    said = fed.site(NAME, "recover", "--yes", *fed.secret, *more)
    assert said.code == 0, said
    return said


def goes_on_with_all_that_was_spent(fed, at_least):
    """Hold that the hospital trains again, under an account of everything in the log."""
    fed.run(NAME)
    more_rounds(fed, 2)
    assert fed.entries("store-recovered")
    releases = [Release(float(q), float(sigma), steps) for q, sigma, steps in in_log(fed)]
    fed.stop(NAME)
    said = fed.site(NAME, "budget", "--format", "json")
    (answer,) = json.loads(said.out)["rows"]
    assert answer["reservations"] >= len(releases) > at_least
    spent = float(answer["epsilon"])
    assert spent >= float(format_epsilon(epsilon(releases, float(answer["delta"]))))
    assert fed.verified()


def test_a_store_that_was_put_back_is_refused_and_recovers(fed, tmp_path):
    kept_by_hand(fed, tmp_path / "copy")
    more_rounds(fed)
    fed.stop(NAME)
    before = len(in_log(fed))
    put_back(fed, tmp_path / "copy")
    refused(starts_and_stops(fed), "store-rolled-back", "concilium-site recover")
    refused(starts_and_stops(fed), "store-rolled-back", "no memory of it")
    assert len(in_log(fed)) == before
    said = recovered(fed)
    assert "learnt" in said.err + said.out
    goes_on_with_all_that_was_spent(fed, before)
    controls = fed.site_rows(NAME, "SELECT DISTINCT state FROM controls WHERE round <= 2")
    assert ("committed",) not in controls


def test_a_store_that_lost_its_database_alone_is_told_so_without_a_line(fed, tmp_path):
    kept_by_hand(fed, tmp_path / "copy")
    more_rounds(fed)
    fed.stop(NAME)
    for end in ("", "-wal", "-shm"):
        (state_of(fed) / f"site.db{end}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy" / "site.db", state_of(fed) / "site.db")
    fed.stop("coordinator")
    refused(starts_and_stops(fed), "store-rolled-back", "concilium-site recover")


def test_a_backup_is_brought_back_on_an_empty_disk_and_recovers(fed, tmp_path):
    backup = tmp_path / "eastfield.backup"
    said = fed.site(NAME, "backup", backup, *fed.secret)
    assert said.code == 0, said
    more_rounds(fed)
    fed.stop(NAME)
    before = len(in_log(fed))
    shutil.rmtree(state_of(fed))
    shutil.rmtree(fed.site_file(NAME).parent / "enrolled")
    recovered(fed, "--from", backup, "--backup-passphrase", fed.passphrase)
    goes_on_with_all_that_was_spent(fed, before)


def test_a_store_that_is_gone_altogether_recovers_from_the_ledger_alone(fed):
    more_rounds(fed, 1)
    fed.stop(NAME)
    before = len(in_log(fed))
    shutil.rmtree(state_of(fed))
    refused(starts_and_stops(fed), "store-rolled-back", "concilium-site recover")
    recovered(fed)
    goes_on_with_all_that_was_spent(fed, before)


def test_an_agent_does_not_start_before_the_officer_has_signed(fed, tmp_path):
    kept_by_hand(fed, tmp_path / "copy")
    more_rounds(fed, 1)
    fed.stop(NAME)
    put_back(fed, tmp_path / "copy")
    draft = tmp_path / "draft.json"
    said = fed.site(NAME, "recover", "--export", draft)
    assert said.code == 0, said
    refused(starts_and_stops(fed), "store-rolled-back", "the officer has not signed")
    with sqlite3.connect(state_of(fed) / "site.db") as c:
        known = c.execute("SELECT count(*) FROM reservations").fetchone()[0]
    assert known >= len(in_log(fed))
