"""`late: next-round` between the coordinator and whole agents, whose sums are not masked."""

from __future__ import annotations

import asyncio

import masked
import pytest
from masked import NAMES

from site_agent.agent import TaskState

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.usefixtures("plain", "fed")]

SLOW, OTHER = NAMES[-1], NAMES[0]
TERMS = {
    "aggregation": {"secure": False, "weighting": "declared"},
    "round.stragglers": {"close_early_after": "1s"},
}


@pytest.fixture
def plain(monkeypatch):
    """Hospitals that take part without masks."""
    monkeypatch.setattr(masked.Agent, "secure", False)


async def late_in_the_first_round(fed, late):
    """Have a hospital be late in round 1, and another at work in round 2; return both."""
    slow, other = fed.agents[SLOW], fed.agents[OTHER]
    slow.worker.wait = asyncio.Event()
    await fed.agreed(changes=TERMS | {"round.late": late})
    await fed.until_holds(lambda: fed.entries("round-opened"))
    await fed.until_holds(
        lambda: other.at_work() and other.task().state is TaskState.DONE  # of round 1
    )
    other.worker.wait = asyncio.Event()
    await fed.until_closed_round(1)
    assert fed.closed()["sites_out"] == {SLOW: "late"}
    return slow, other


async def test_training_that_a_round_did_not_wait_for_counts_in_the_next(fed):
    slow, other = await late_in_the_first_round(fed, "next-round")
    assert slow.task().state is TaskState.LATE
    slow.worker.wait.set()
    await fed.until_holds(
        lambda: [e for e in fed.entries("contribution-made") if "trained_in" in e.body]
    )
    other.worker.wait.set()
    await fed.until_closed_round(2)
    assert fed.closed(2)["sites_out"] == {}
    (said,) = [e for e in fed.entries("contribution-made") if SLOW in e.actor]
    assert (said.body["round"], said.body["trained_in"]) == (2, 1)
    assert said.body["base"] == fed.closed()["model_in"]
    assert len(slow.worker.jobs) == 1
    assert len(slow.spent()) == 1


async def test_training_that_a_round_did_not_wait_for_ends_where_late_ones_are_discarded(fed):
    slow, other = await late_in_the_first_round(fed, "discard")
    assert slow.task().state is TaskState.CANCELLED
    slow.worker.wait.set()
    await fed.until_holds(lambda: slow.task(2) is not None)
    other.worker.wait.set()
    await fed.until_closed_round(2)
    assert fed.closed(2)["sites_out"] == {}
    (said,) = [e for e in fed.entries("contribution-made") if SLOW in e.actor]
    assert "trained_in" not in said.body
    assert len(slow.spent()) == 2
