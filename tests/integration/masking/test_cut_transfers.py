"""A transfer that is cut goes on where it was: what is sent twice is a small part of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "chaos"))

from cuts import Cuts
from masked import NAMES

from site_agent.agent import TaskState

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

HIDDEN = 3160
CUTS = 10
SURPLUS = 1.1
NAME = NAMES[0]


def over(size, passed):
    """Where a line is cut ten times within a file's first bytes."""
    return [passed + size * number // (CUTS + 1) for number in range(1, CUTS + 1)]


async def test_ten_cuts_of_a_model_and_of_an_update_cost_a_tenth_at_most(fed, monkeypatch):
    monkeypatch.setattr("site_agent.duties.backoff_s", lambda *_, **__: 0.3)
    monkeypatch.setattr("site_agent.session.backoff_s", lambda *_, **__: 0.3)
    agent = fed.agents[NAME]
    host, _, port = agent.settings["federations.0.coordinator"].rpartition(":")
    with Cuts((host, int(port)), (NAME,)) as cuts:
        line = cuts.lines[NAME]
        await agent.stop()
        through = {"federations.0.coordinator": f"localhost:{line.port}"}
        agent.hospital.write(agent.settings | through)
        agent.hospital.restart()
        agent.start()
        model = {"name": "mlp", "hidden": [HIDDEN, HIDDEN], "seed": 1}
        agent.worker.wait = asyncio.Event()
        await fed.agreed(changes={"model": model, "schedule.rounds": 1})
        await fed.until_holds(agent.at_work)
        size, before = agent.task().task.model.size, line.down_bytes
        line.cut_down_at = over(size, before)
        await fed.until_holds(lambda: agent.task().state is TaskState.WORKING)
        down = line.down_bytes - before
        assert line.cuts == CUTS
        before = line.up_bytes
        line.cut_up_at = over(size, before)
        agent.worker.wait.set()
        await fed.until_closed_round(1)
        up = line.up_bytes - before
        assert line.cuts == 2 * CUTS
        await agent.close()
    assert up <= SURPLUS * size
    assert down <= SURPLUS * size
