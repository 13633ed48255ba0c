"""A clock that jumps by an hour while a round is at work, and back again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import masked
import pytest
from masked import NAMES
from sqlalchemy import text

from coordinator.foundation import Foundation
from site_agent.agent import ENDS, TaskState

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

TERMS = {
    "round.deadline": "3h",
    "round.stragglers": "wait",
    "schedule.rounds": 1,
    "sites.close_at_least": 5,
}
COORDINATOR, SITES, ALL = "coordinator", "sites", "all"


class Clock:
    """Two clocks, each so much ahead of the true time."""

    def __init__(self):
        self.ahead = {COORDINATOR: timedelta(), SITES: timedelta()}

    def jump(self, whose, by):
        for name in self.ahead if whose == ALL else [whose]:
            self.ahead[name] = by

    def of(self, whose):
        return datetime.now(UTC) + self.ahead[whose]


@pytest.fixture
def clock(monkeypatch):
    made = Clock()

    class OfSites(datetime):
        @classmethod
        def now(cls, _zone=None):
            return made.of(SITES)

    monkeypatch.setattr(Foundation, "now", lambda _: made.of(COORDINATOR))
    monkeypatch.setattr(masked, "datetime", OfSites)
    return made


def asked(agent):
    """How often an agent has asked where its upload goes on."""
    question = text("SELECT count(*) FROM sent WHERE kind = 'upload-status'")
    return agent.look(lambda c: c.execute(question).scalar())


def at_coordinator(agent):
    return agent.member.presence.connected


@pytest.mark.parametrize(
    ("whose", "hours"),
    [
        (COORDINATOR, -1),
        (SITES, 1),
        *(
            pytest.param(whose, hours, marks=pytest.mark.long)
            for whose, hours in [(COORDINATOR, 1), (SITES, -1), (ALL, -1), (ALL, 1)]
        ),
    ],
)
async def test_a_clock_that_jumps_and_is_set_right_again_loses_nothing(
    fed, clock, whose, hours
):
    for agent in fed.agents.values():
        agent.worker.wait = asyncio.Event()
    await fed.agreed(changes=TERMS)

    def states():
        return {agent.task() and agent.task().state for agent in fed.agents.values()}

    await fed.until_holds(lambda: states() == {TaskState.WORKING})
    clock.jump(whose, timedelta(hours=hours))
    first, second, *_ = (fed.agents[name] for name in NAMES)
    first.worker.wait.set()
    await fed.until_holds(lambda: asked(first) > 1 or first.task().state in ENDS)
    await second.restart()  # what it says as it starts is dated by the wrong clock
    await fed.until_holds(lambda: second.member.presence.last_fault or at_coordinator(second))
    clock.jump(whose, timedelta())
    for agent in fed.agents.values():
        agent.worker.wait.set()
    await fed.until_closed_round(1)
    assert [row[:3] for row in fed.rounds()] == [(1, 1, "closed")]
    assert sorted(fed.closed(1)["sites_in"]) == sorted(NAMES)
