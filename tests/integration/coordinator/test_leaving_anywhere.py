"""A hospital leaves at each step of a round: it is in no sum, or its model was committed."""

from __future__ import annotations

import asyncio
import threading

import pytest
from federations import PATIENCE_S
from scripted_site import small_step
from uploading import halfway

from coordinator import adding
from protos.words import TaskKind

OTHERS = ("charite", "ucl")
LAST = {"schedule.rounds": 1, "sites.ready_at_least": 2, "sites.close_at_least": 2}


@pytest.fixture
def slow_sum(monkeypatch):
    """Hold the next sum; returns when it has begun, and what lets it go on."""
    begun, go_on, loop = asyncio.Event(), threading.Event(), None
    truly = adding.aggregate.aggregate

    def slowly(*given, **more):
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(PATIENCE_S)
        return truly(*given, **more)

    def hold():
        nonlocal loop
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(adding.aggregate, "aggregate", slowly)
        return begun, go_on

    yield hold
    go_on.set()


async def invited(fed, amc):
    """It was sent its task, and has not answered."""
    await amc.task()


async def training(fed, amc):
    """It took the task, and paid for it."""
    await amc.accept(await amc.task())


async def uploading(fed, amc):
    """Half of its update is there."""
    await halfway(fed, amc)


async def uploaded(fed, amc):
    """Its update is there, and the others' are not."""
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))


async def evaluating(fed, amc):
    """The candidate with its update in waits for figures."""
    await fed.all_in()
    await fed.tasks(TaskKind.EVALUATE)


async def all_consented(fed, changes=LAST):
    """Bring an agreement into force to which all consented before its first round."""
    await fed.operator_acts("pause")  # else the first two begin
    await fed.in_force(changes=changes)
    await fed.operator_acts("resume")


async def leave(fed, amc):
    body = {"site": "amc", "scope": "federation", "cause": "own-wish"}
    await amc.must_say("exit-requested", body, key=amc.officer)


async def out_of_it(fed):
    """Let the others go on; see that amc is in nothing that was committed after it left."""
    for name in OTHERS:
        fed.site(name).works()
    await fed.until(lambda: fed.entries("exit-closed"))
    await fed.until(lambda: fed.entries("round-closed"))
    (closed,) = fed.entries("round-closed")
    assert sorted(closed.body["sites_in"]) == sorted(OTHERS)
    await fed.until(lambda: fed.spooled() == [])
    fed.verified()


@pytest.mark.parametrize("at_work", [invited, training, uploading, uploaded, evaluating])
@pytest.mark.slow
async def test_who_leaves_before_the_model_is_committed_is_in_none(fed, at_work):
    await all_consented(fed)
    amc = fed.site("amc")
    await at_work(fed, amc)
    await leave(fed, amc)
    await out_of_it(fed)


@pytest.mark.slow
async def test_who_leaves_while_the_sum_is_made_is_in_none(fed, slow_sum):
    begun, go_on = slow_sum()
    await all_consented(fed)
    amc = fed.site("amc")
    await fed.all_in()
    await begun.wait()
    await leave(fed, amc)
    go_on.set()
    await out_of_it(fed)


@pytest.mark.slow
async def test_who_leaves_after_the_model_is_committed_is_listed_in_it(fed):
    await all_consented(fed, {**LAST, "schedule.rounds": 2})
    amc = fed.site("amc")
    await fed.all_in()
    for site in fed.sites.values():
        await site.evaluate(await site.task(TaskKind.EVALUATE))
    await fed.until(lambda: fed.entries("round-closed"))
    await leave(fed, amc)
    for name in OTHERS:
        fed.site(name).works()
    await fed.until(lambda: len(fed.entries("round-closed")) == 2)
    await fed.until(lambda: fed.entries("exit-closed"))
    listed = [e for e in fed.entries("exit-step") if e.body["step"] == "impact-listed"]
    assert listed[0].body["rounds"][:1] == [1]
    assert "amc" not in fed.entries("round-closed")[1].body["sites_in"]
    fed.verified()
