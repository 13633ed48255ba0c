"""A masked vector that is spoilt on the coordinator's disk comes again, the very same one."""

from __future__ import annotations

import asyncio

import pytest
from masked import NAMES
from summed import is_the_mean_of

from site_agent.agent import TaskState

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

NAME, LAST = NAMES[0], NAMES[-1]


@pytest.mark.parametrize("found", ["when it is summed", "when the coordinator starts"])
async def test_spoilt_vector_is_sent_again_and_the_same_sum_is_opened(fed, found):
    fed.agents[LAST].worker.wait = asyncio.Event()
    await fed.agreed(changes={"schedule.rounds": 1, "round.attempts": 1})
    spool = fed.folders.coordinator / "state" / "spool"
    place = spool / "1-1" / NAME
    await fed.until_holds(lambda: list(place.glob("*.safetensors")))
    await fed.until_holds(lambda: fed.agents[NAME].task().state is TaskState.DONE)
    (vector,) = place.glob("*.safetensors")
    was = vector.read_bytes()
    if "starts" in found:
        await fed.stop()
    vector.write_bytes(was[:-1] + bytes([was[-1] ^ 1]))
    if "starts" in found:
        await fed.start()
        await fed.until_holds(lambda: vector.exists() and vector.read_bytes() == was)
    fed.agents[LAST].worker.wait.set()
    await fed.until_closed_round(1)
    assert fed.rounds() == [(1, 1, "closed", "")]
    assert fed.closed()["sites_out"] == {}
    is_the_mean_of(fed, list(NAMES))
    assert len(fed.entries("contribution-made")) == len(NAMES)
    assert len(fed.agents[NAME].spent()) == 1
