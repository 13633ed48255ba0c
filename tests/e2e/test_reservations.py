"""A hospital's agent dies at any point of a task: its reservation is counted once, for ever."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import standing
from dying import NOWHERE, POINTS, STORED
from programs import Running
from standing import SITES

from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release

pytestmark = pytest.mark.long
NAME, *OTHERS = SITES
DELTA = 1e-5


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Three hospitals in many short rounds; the first one's agent is each test's to start."""
    base = tmp_path_factory.mktemp("reservations")
    terms = {
        "schedule.rounds": 100,
        "round.local.steps": 4,
        "privacy.noise_multiplier": 8.0,
    }
    standing.found(base / "fed", standing.of_three(base / "agreement.yaml", **terms))
    fed = standing.copied(base / "fed", base / "here")
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.closed() > 0, why="for the first round")
    fed.stop(NAME)
    yield fed
    fed.end()


def stored(fed):
    """Return the tasks that the hospital's own store holds reservations for."""
    return [task for (task,) in fed.site_rows(NAME, "SELECT task FROM reservations")]


def logged(fed):
    """Return the tasks for which the log has reservations of the hospital."""
    return [task for (task,) in fed.rows("SELECT task FROM reservations WHERE site = ?", NAME)]


def killed_at(fed, point):
    """Run the hospital's agent until it dies."""
    script = Path(__file__).with_name("dying.py")
    agent = Running(sys.executable, script, point, fed.site_file(NAME))
    try:
        assert agent.ended().code == -signal.SIGKILL, agent.said[-2000:]
    finally:
        agent.end()


@pytest.mark.parametrize("point", POINTS)
def test_no_kill_loses_a_reservation_or_makes_two_of_one(training, point):
    fed, died = training, POINTS[point]
    known = set(stored(fed))
    killed_at(fed, point)
    begun, before = set(stored(fed)) - known, fed.closed()
    in_log = set(logged(fed))
    if point != "settled":  # an evaluation settles too
        assert bool(begun) is (died.reserved != NOWHERE)
    assert (begun <= in_log) is (died.reserved != STORED)
    fed.run(NAME)
    fed.until(lambda: fed.closed() > before, why="after the kill")
    fed.stop(NAME)
    kept, told = stored(fed), logged(fed)
    assert begun <= set(kept), "what was reserved stays reserved"
    assert len(set(kept)) == len(kept)
    assert len(set(told)) == len(told)
    assert set(told) <= set(kept), "nothing is in the log that the hospital does not count"


def test_each_contribution_was_paid_for_before_and_the_figure_is_that_of_all(training):
    fed = training
    rows = fed.rows(
        "SELECT e.round, e.attempt, e.kind, e.seq FROM entries e WHERE e.actor = ? "
        "AND e.kind IN ('budget-reserved', 'contribution-made')",
        f"site/{NAME}",
    )
    paid = {(round_, attempt): seq for round_, attempt, kind, seq in rows if kind[0] == "b"}
    made = {(round_, attempt): seq for round_, attempt, kind, seq in rows if kind[0] == "c"}
    assert made
    assert all(paid[place] < seq for place, seq in made.items())
    releases = [
        Release(*row)
        for row in fed.site_rows(
            NAME, "SELECT sampling_rate, noise_multiplier, steps FROM reservations"
        )
    ]
    said = fed.site(NAME, "budget", "--format", "json")
    (answer,) = json.loads(said.out)["rows"]
    assert answer["reservations"] == len(releases)
    assert answer["epsilon"] == format_epsilon(epsilon(releases, float(answer["delta"])))
    assert fed.verified()
