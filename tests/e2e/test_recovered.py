"""The coordinator's machine is destroyed under running agents, and the federation goes on."""

from __future__ import annotations

import shutil

import pytest
import standing
from standing import SITES

from governance.ledger import store as ledger

pytestmark = pytest.mark.long
ROUNDS = 30


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    base = tmp_path_factory.mktemp("recovered")
    few = {"sites.ready_at_least": 2, "sites.close_at_least": 2}
    changes = {**few, "aggregation.secure": False}  # two of three open no masks
    agreement = standing.of_three(
        base / "agreement.yaml",
        **{"schedule.rounds": ROUNDS, "round.local.steps": 1, **changes},
        **{"quality.accept_if.not_worse_than": 0.4},
    )
    standing.found(base / "fed", agreement)
    return base / "fed"


@pytest.fixture
def fed(template, tmp_path):
    """A federation in which three hospitals train, with a backup of an early round."""
    fed = standing.copied(template, tmp_path / "fed")
    for name in SITES:
        standing.edited(fed.site_file(name), two_are_enough)
    fed.serve()
    fed.run(*SITES)
    try:
        for name in SITES:
            assert fed.consent(name).code == 0
        fed.until(lambda: fed.closed() >= 1, why="for a first round")
        assert fed.operator("backup", tmp_path / "backup", *fed.secret).code == 0
        before = fed.closed()
        fed.until(lambda: fed.closed() >= before + 2, why="for what the backup has not")
        yield fed
    finally:
        fed.end()


def two_are_enough(said):
    """Let a hospital's own file take part in sums of two."""
    said["policy"]["minimum_sites"] = 2


def destroy(fed):
    """End the coordinator and take its machine away."""
    fed.stop("coordinator")
    shutil.rmtree(fed.coordinator)


def bring_models(fed, name):
    """Bring the models that a hospital has worked with to the coordinator's new machine."""
    models = fed.coordinator / "state" / "models"
    for path in (fed.site_file(name).parent / "state" / "work").glob("*/*.safetensors"):
        shutil.copy(path, models / path.name)


def copy_of(fed, name):
    """A hospital's copy of the ledger."""
    (path,) = (fed.site_file(name).parent / "state" / "ledgers").glob("*.db")
    return path


def recover(fed, place, *more):
    return fed.operator("recover", place / "backup", *fed.secret, *more)


def last_head(fed, name):
    """The last head that a hospital cosigned, as it would hand it over."""
    engine = ledger.open_engine(f"sqlite:///{copy_of(fed, name)}")
    with ledger.reading(engine) as c:
        head = ledger.latest_checkpoint(c)
    engine.dispose()
    return head


def note(fed, name, what):
    rows = fed.site_rows(name, "SELECT value FROM notes WHERE name = ?", what)
    return rows[0][0] if rows else ""


def went_on(fed, more=2):
    """Wait until more rounds are closed than were."""
    before = fed.closed()
    fed.until(lambda: fed.closed() >= before + more, why="for further rounds")


def test_agents_go_on_with_a_coordinator_recovered_from_a_hospitals_copy(fed, tmp_path):
    destroy(fed)
    said = recover(fed, tmp_path, "--from", copy_of(fed, SITES[0]))
    assert said.code == 0, said
    fed.serve()
    refused = fed.operator("resume")
    assert refused.code == 2
    assert "Bring it from a hospital" in refused.err
    bring_models(fed, SITES[0])
    assert fed.operator("resume").code == 0
    went_on(fed)
    assert all(not note(fed, name, "alarm") for name in SITES)
    assert fed.verified()["new_logs"] == []


def test_two_hospitals_accept_a_new_log_and_the_one_that_does_not_is_asked_nothing(
    fed, tmp_path
):
    head = tmp_path / "head"
    destroy(fed)
    heads = [last_head(fed, name) for name in SITES]
    head.write_text(max(heads, key=lambda text: int(text.splitlines()[1])))
    behind = recover(fed, tmp_path, "--checkpoint", head)
    assert behind.code == 2
    assert "are missing" in behind.err
    said = recover(fed, tmp_path, "--checkpoint", head, "--new-log")
    assert said.code == 0, said
    fed.serve()
    (declared,) = fed.entries("log-recovered")
    for name in SITES:
        fed.until(lambda who=name: note(fed, who, "new-log"), why="for a new log to be seen")
    assert fed.entries("round-opened")[-1][0] < declared[0]
    for name in SITES[:2]:
        said = fed.site(name, "trust", "--log", "--yes", *fed.secret)
        assert said.code == 0, said
        assert "was lost and begins anew" in said.err
    went_on(fed)
    since = "SELECT DISTINCT site FROM reservations WHERE seq > ? ORDER BY site"
    assert fed.rows(since, declared[0]) == [(name,) for name in sorted(SITES[:2])]
    assert note(fed, SITES[2], "alarm")
    (told,) = fed.verified()["new_logs"]
    assert told["accepted"] == sorted(SITES[:2])
    assert fed.site(SITES[0], "audit").code == 0
