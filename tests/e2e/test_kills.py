"""Any process may die at any moment: it is started again, and the federation finishes."""

from __future__ import annotations

import os
import signal

import pytest
import standing
from programs import children_of
from standing import SITES

pytestmark = pytest.mark.long
ROUNDS = 12


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Three hospitals that were asked to consent to a dozen short rounds."""
    base = tmp_path_factory.mktemp("lasting")
    agreement = standing.of_three(
        base / "agreement.yaml", **{"schedule.rounds": ROUNDS, "round.local.steps": 2}
    )
    standing.found(base / "fed", agreement)
    return base / "fed"


@pytest.fixture
def training(lasting, tmp_path):
    """A federation in which the first round is open."""
    fed = standing.copied(lasting, tmp_path / "fed")
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.rows("SELECT 1 FROM rounds"), why="for a round")
    yield fed
    fed.end()


def test_agents_workers_and_the_coordinator_are_killed_and_the_federation_finishes(training):
    fed = training
    for number, name in enumerate(SITES, start=1):
        fed.until(lambda number=number: fed.closed() >= number, why="to kill an agent")
        fed.running[name].kill()
        fed.run(name)
    for number, name in enumerate(SITES, start=len(SITES) + 2):
        fed.until(lambda number=number: fed.closed() >= number, why="to kill a worker")
        for child in children_of(fed.running[name].pid):
            os.kill(child, signal.SIGKILL)
    fed.until(lambda: fed.closed() >= ROUNDS - 3, why="to kill the coordinator")
    fed.running["coordinator"].kill()
    fed.serve()
    fed.until(lambda: fed.closed() == ROUNDS, why="for the end")
    assert fed.verified()["entries"] == len(fed.entries())
    assert all("Traceback" not in running.said for running in fed.running.values())


def test_no_release_is_paid_twice_when_a_worker_dies(training):
    fed = training
    for _ in range(3):
        for name in SITES:
            for child in children_of(fed.running[name].pid):
                os.kill(child, signal.SIGKILL)
        closed = fed.closed()
        fed.until(lambda closed=closed: fed.closed() > closed, why="after the kill")
    fed.until(lambda: fed.closed() == ROUNDS, why="for the end")
    reserved = fed.rows(
        "SELECT site, round, attempt, count(*) FROM reservations GROUP BY 1, 2, 3"
    )
    assert all(count == 1 for *_, count in reserved)
    assert fed.verified()
