"""A coordinator that is killed anywhere goes on with the same round; nothing counts twice."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from crashing import POINTS
from federations import PATIENTS, SITES, mean_by_hand
from scripted_site import small_step
from small_agreement import GATED

from governance import tensors
from protos.words import FinalModel, TaskKind

pytestmark = pytest.mark.slow
TERMS = {**GATED, "schedule.rounds": 1}


async def all_at_work(fed):
    """Put an agreement in force with sites that come back whenever the line is cut."""
    document = await fed.propose(changes=TERMS)
    for site in await fed.come():
        site.persists()
    return document


def whole_and_once(fed):
    """Hold that the round is what it would have been without the crash."""
    assert fed.rounds() == [(1, 1, "closed", "")]
    made = [(e.actor, e.body["round"]) for e in fed.entries("contribution-made")]
    assert sorted(made) == [(f"site/{name}", 1) for name in SITES]
    reserved = [e.actor for e in fed.entries("budget-reserved")]
    assert sorted(reserved) == [f"site/{name}" for name in SITES]
    closed = fed.entries("round-closed")[0].body
    assert (closed["sites_in"], closed["sites_out"]) == (list(SITES), {})
    start = tensors.load(fed.model_path(closed["model_in"]))
    task = type("Task", (), {"round": 1, "attempt": 1})
    updates = {name: small_step(fed.site(name), task) for name in SITES}
    model = tensors.load(fed.model_path(closed["model_out"]))
    for name, values in mean_by_hand(start, updates, PATIENTS).items():
        np.testing.assert_array_equal(model[name], values)
    assert fed.spooled() == []
    assert len({e.body["model"] for e in fed.entries("evaluation-made")}) == 1


@pytest.mark.parametrize("point", POINTS)
async def test_coordinator_killed_at_a_point_goes_on_as_if_nothing_had_been(apart, point):
    await apart.start(dies_at=point)
    document = await all_at_work(apart)
    for site in apart.sites.values():
        apart.aside(site.consent(document))
        site.works()
    assert await apart.over() == -signal.SIGKILL
    await apart.start()
    finals = [await site.next(FinalModel) for site in apart.sites.values()]
    assert len(set(finals)) == 1
    assert await apart.terminate() == 0
    whole_and_once(apart)


async def test_coordinator_killed_in_each_state_goes_on_as_if_nothing_had_been(apart):
    await apart.start()
    document = await all_at_work(apart)
    for site in apart.sites.values():
        await site.consent(document)
    tasks = await apart.tasks()
    await apart.kill()
    await apart.start()
    amc, charite, ucl = apart.sites.values()
    await amc.contribute(tasks["amc"], small_step(amc, tasks["amc"]))
    await apart.kill()
    await apart.start()
    for site in (charite, ucl):
        await site.contribute(tasks[site.name], small_step(site, tasks[site.name]))
    evaluations = await apart.tasks(TaskKind.EVALUATE)
    await amc.evaluate(evaluations["amc"])
    await apart.kill()
    await apart.start()
    for site in (charite, ucl):
        await site.evaluate(evaluations[site.name])
    finals = [await site.next(FinalModel) for site in apart.sites.values()]
    await apart.kill()
    await apart.start()
    assert (await apart.status()).state == "the agreement is complete"
    assert len(set(finals)) == 1
    whole_and_once(apart)
