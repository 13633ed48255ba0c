"""An update that is spoilt on the coordinator's disk is asked for again; nobody trains anew."""

from __future__ import annotations

import pytest
from federations import mean_by_hand
from scripted_site import refused, small_step
from test_files import change, delete

from governance import tensors
from protos.words import Task, TaskAnswer, TaskKind

ONE = {"schedule.rounds": 1}


def updates_of(fed):
    """Return the updates in the spool, by site."""
    spool = fed.folders.coordinator / "state" / "spool"
    return {path.parent.name: path for path in spool.rglob("*.safetensors")}


async def spoilt(fed, harm=change, **terms):
    """Let all sites hand in, and spoil amc's update; return the tasks that they had."""
    await fed.in_force(changes=ONE | terms)
    tasks = await fed.all_in("amc", "charite")
    harm(updates_of(fed)["amc"])
    return tasks | await fed.all_in("ucl")


async def wanted(fed, tasks, name="amc"):
    """Wait until a site is asked for its update again."""
    again = await fed.site(name).next(Task, kind=TaskKind.TRAIN)
    first = tasks[name]
    assert (again.task, again.model, again.masks) == (first.task, first.model, first.masks)
    return again


async def go_on(fed):
    for site in fed.sites.values():
        site.works()
    await fed.until_ended((1, 1, "closed", ""))


@pytest.mark.parametrize("harm", [change, delete])
async def test_spoilt_update_is_asked_for_again_and_the_same_round_goes_on(fed, harm):
    tasks = await spoilt(fed, harm)
    amc = fed.site("amc")
    await wanted(fed, tasks)
    (told,) = [site for site in (await fed.status()).sites if site.name == "amc"]
    assert told.waiting_for.startswith("its update once more")
    first = fed.entries("contribution-made")[0]
    receipt = await amc.hand_in_again(tasks["amc"], small_step(amc, tasks["amc"]))
    assert receipt.digest == first.body["update"]
    assert len(fed.entries("contribution-made", "budget-reserved")) == 6
    await go_on(fed)
    closed = fed.entries("round-closed")[0].body
    assert (closed["attempt"], closed["sites_out"]) == (1, {})
    updates = {n: small_step(fed.site(n), task) for n, task in tasks.items()}
    weights = {site.name: site.patients for site in fed.sites.values()}
    model = tensors.load(fed.model_path(closed["model_in"]))
    found = tensors.load(fed.model_path(closed["model_out"]))
    made = mean_by_hand(model, updates, weights)
    assert all((found[name] == value).all() for name, value in made.items())


async def test_spoilt_update_is_found_at_the_restart_and_asked_for_then(fed):
    await fed.in_force(changes=ONE)
    tasks = await fed.all_in("amc", "charite")
    await fed.stop()
    change(updates_of(fed)["amc"])
    await fed.start()
    amc, _, ucl = await fed.come()
    await wanted(fed, tasks)
    await amc.hand_in_again(tasks["amc"], small_step(amc, tasks["amc"]))
    task = await ucl.task()
    await ucl.contribute(task, small_step(ucl, task))
    await go_on(fed)


async def test_restart_while_an_update_is_awaited_goes_on_waiting(fed):
    tasks = await spoilt(fed)
    await wanted(fed, tasks)
    await fed.restart()
    amc, *_ = await fed.come()
    await amc.hand_in_again(tasks["amc"], small_step(amc, tasks["amc"]))
    await go_on(fed)


async def test_another_update_is_not_taken_for_the_one_that_was_in(fed):
    tasks = await spoilt(fed)
    await wanted(fed, tasks)
    amc = fed.site("amc")
    async with refused("second-update"):
        await amc.hand_in(tasks["amc"], small_step(amc, tasks["amc"], scale=1))
    await amc.hand_in_again(tasks["amc"], small_step(amc, tasks["amc"]))
    await go_on(fed)


async def test_site_that_has_it_no_more_ends_the_attempt(fed):
    tasks = await spoilt(fed)
    again = await wanted(fed, tasks)
    await fed.site("amc").send(TaskAnswer(again.task, accepted=False, rule="update-missing"))
    await fed.until_ended((1, 1, "abandoned", "integrity"))


async def test_update_that_is_spoilt_a_second_time_ends_the_attempt(fed):
    await fed.in_force(changes=ONE)
    tasks = await fed.all_in("amc", "charite")
    amc = fed.site("amc")
    await fed.stop()
    change(updates_of(fed)["amc"])
    await fed.start()
    await amc.connect()
    await wanted(fed, tasks)
    await amc.hand_in_again(tasks["amc"], small_step(amc, tasks["amc"]))
    await fed.stop()
    change(updates_of(fed)["amc"])
    await fed.start()
    await fed.until_ended((1, 1, "abandoned", "integrity"))


async def test_who_withdraws_while_it_is_asked_again_is_out_and_the_round_goes_on(fed):
    document = await fed.in_force(changes=ONE)
    tasks = await fed.all_in("amc", "charite")
    change(updates_of(fed)["amc"])
    await fed.all_in("ucl")
    await wanted(fed, tasks)
    await fed.site("amc").withdraw(document)
    for name in ("charite", "ucl"):
        fed.site(name).works()
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"amc": "consent"}


@pytest.mark.slow
async def test_update_that_does_not_come_again_is_waited_for_as_long_as_a_round(fed):
    tasks = await spoilt(fed, **{"round.deadline": "4s"})
    await wanted(fed, tasks)
    await fed.until_ended((1, 1, "abandoned", "integrity"))
    assert (await fed.status()).state.startswith("paused")
