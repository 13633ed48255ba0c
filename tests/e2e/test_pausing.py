"""An operator pauses a federation at work: no round opens until it is resumed."""

from __future__ import annotations

import pytest
import standing
from programs import COORDINATOR, Running
from standing import SITES

ROUNDS = 12
REASON = "the ethics board meets"
PAUSED = f"paused: operator paused the federation: {REASON}"


@pytest.fixture
def training(tmp_path):
    """Three hospitals that train; the first of a dozen short rounds is closed."""
    agreement = standing.of_three(
        tmp_path / "agreement.yaml", **{"schedule.rounds": ROUNDS, "round.local.steps": 2}
    )
    standing.found(tmp_path / "fed", agreement)
    fed = standing.copied(tmp_path / "fed", tmp_path / "training")
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.closed() >= 1, why="for the first round")
    yield fed
    fed.end()


def none_at_work(fed):
    return not fed.rows("SELECT 1 FROM rounds WHERE state NOT IN ('closed', 'abandoned')")


def test_a_paused_federation_opens_no_round_says_why_and_completes_when_resumed(training):
    fed = training
    assert fed.operator("pause", "--reason", REASON).code == 0
    assert fed.status()["state"] == PAUSED
    watch = (COORDINATOR, "watch", "--folder", fed.coordinator)
    with Running(*watch) as watching:
        watching.until(PAUSED)
        watching.interrupt()
    fed.until(lambda: none_at_work(fed), why="for the round at work to end")
    opened = len(fed.entries("round-opened"))
    assert fed.closed() < ROUNDS
    for name in SITES:  # a hospital that comes anew is what a round would be opened for
        fed.stop(name)
    fed.run(*SITES)
    assert fed.status()["state"] == PAUSED
    assert len(fed.entries("round-opened")) == opened
    assert fed.operator("resume").code == 0
    fed.until(lambda: fed.closed() == ROUNDS, why="for the rest of the rounds")
    said = [seq for seq, *_ in fed.entries("operator-acted")][-2:]
    rounds = [seq for seq, *_ in fed.entries("round-opened")]
    assert not [seq for seq in rounds if said[0] < seq < said[1]]
    assert fed.verified()
