"""A training that comes late enters the next round, between whole programs; it is paid once."""

from __future__ import annotations

import json
import os
import signal

import pytest
import standing
from programs import children_of

from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release

pytestmark = pytest.mark.long
LATE, HELD, *_ = SITES = ("lakeside", "eastfield", "hillcrest", "north-general")
TERMS = {
    "sites.roster": [*SITES],
    "sites.ready_at_least": 4,
    "round.late": "next-round",
    "round.stragglers": {"close_early_after": "2s"},
    "aggregation.secure": False,
    "quality.accept_if.not_worse_than": 0.4,
}
PAID = format_epsilon(epsilon([Release(0.2, 3.0, 10)], 1e-5))


@pytest.fixture
def training(tmp_path):
    """Four hospitals in the first of two rounds; two of their workers stand still."""
    standing.found(tmp_path / "fed", standing.of_three(tmp_path / "agreement.yaml", **TERMS))
    fed = standing.copied(tmp_path / "fed", tmp_path / "training")
    fed.serve()
    fed.run(*SITES)
    for name in (LATE, HELD):
        fed.until(lambda name=name: children_of(fed.running[name].pid), why="for its worker")
        tell(fed, name, signal.SIGSTOP)
    for name in SITES:
        assert fed.consent(name).code == 0
    yield fed
    fed.end()


def tell(fed, name, number):
    """Send a hospital's worker a signal."""
    for child in children_of(fed.running[name].pid):
        os.kill(child, number)


def trains(fed, name, round_):
    """Return the states of a hospital's task to train in a round, by its own store."""
    question = "SELECT state FROM tasks WHERE kind = 'train' AND round = ?"
    return [state for (state,) in fed.site_rows(name, question, round_)]


def one_round_without_it(fed):
    """Let round 1 go on without the late one; no round opens after it."""
    fed.until(lambda: trains(fed, LATE, 1) == ["working"], why="for its training to begin")
    assert fed.operator("pause", "--reason", "until it is late").code == 0
    tell(fed, HELD, signal.SIGCONT)  # until now too few updates could come in
    fed.until(lambda: fed.closed() == 1, why="for the round to go on without it")
    tell(fed, HELD, signal.SIGSTOP)


def the_next_round_with_it(fed):
    """Open round 2, let the late training go on, and then whom round 2 still needs."""
    assert fed.operator("resume").code == 0
    fed.until(lambda: trains(fed, LATE, 2), why="for its next task")
    assert trains(fed, LATE, 1) == ["late"]
    tell(fed, LATE, signal.SIGCONT)
    made = "SELECT 1 FROM contributions WHERE site = ? AND round = 2"
    fed.until(lambda: fed.rows(made, LATE), why="for the late update")
    tell(fed, HELD, signal.SIGCONT)
    fed.until(lambda: fed.closed() == 2, why="for the next round")


def budget(fed):
    (row,) = json.loads(fed.site(LATE, "budget", "--format", "json").out)["rows"]
    return row


def answered(fed, *question):
    said = fed.auditor(*question, "--format", "json")
    assert said.code == 0, said
    return json.loads(said.out)


def test_a_training_that_comes_late_counts_in_the_next_round_and_is_paid_for_once(training):
    fed = training
    one_round_without_it(fed)
    before = budget(fed)
    assert (before["reservations"], before["epsilon"]) == (1, PAID)
    the_next_round_with_it(fed)
    outcome = fed.rows("SELECT sites_in, sites_out FROM rounds ORDER BY round")
    assert json.loads(outcome[0][1]) == {LATE: "late"}
    assert LATE in json.loads(outcome[1][0])
    assert trains(fed, LATE, 2) == ["done"]

    # It trained for round 1 alone, and what it spent is that.
    reserved = "SELECT round, epsilon_total FROM reservations WHERE site = ?"
    assert fed.rows(reserved, LATE) == [(1, PAID)]
    after = budget(fed)
    assert (after["reservations"], after["epsilon"], after["spent"]) == (1, PAID, PAID)
    (spent,) = answered(fed, "spending", "--site", LATE)["rows"]
    assert (spent["reservations"], spent["epsilon"]) == (1, PAID)

    # The record says so in both rounds, and verifies.
    of_it = [r for r in answered(fed, "contributions")["rows"] if r["site"] == LATE]
    (seq,) = [row["contribution_seq"] for row in of_it]
    assert [(r["round"], r["trained_in"], r["at_start"]) for r in of_it] == [(2, 1, "covered")]
    told = {n: answered(fed, "round", str(n))["notes"] for n in (1, 2)}
    became = f"{LATE} was late in attempt 1; its update counts in round 2 (entry {seq})."
    assert became in told[1]
    was = f"The update of {LATE} in attempt 1 was trained in round 1 (entry {seq})."
    assert was in told[2]
    fed.verified()
    assert fed.site(LATE, "audit").code == 0
    assert all("Traceback" not in running.said for running in fed.running.values())
