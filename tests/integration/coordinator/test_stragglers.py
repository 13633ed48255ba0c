"""A site that is late or refuses: a round closes without it, or is tried again."""

from __future__ import annotations

import pytest
from scripted_site import small_step

from protos.words import Cancel


async def test_straggler_is_waited_for_a_while_and_then_out_as_late(fed):
    late = {"round.stragglers": {"close_early_after": "1s"}, "schedule.rounds": 1}
    await fed.in_force(changes=late)
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    await ucl.accept(task)
    charite.works()
    amc.works()
    assert await ucl.next(Cancel) == Cancel(task.task, "late")
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"ucl": "late"}


@pytest.mark.slow
async def test_deadline_closes_with_those_who_are_in(fed):
    await fed.in_force(changes={"round.deadline": "2s", "schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    charite.works()
    amc.works()
    task = await ucl.task()
    assert await ucl.next(Cancel) == Cancel(task.task, "late")
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"ucl": "late"}


@pytest.mark.slow
async def test_deadline_with_too_few_abandons_and_each_attempt_pauses_at_the_last(fed):
    await fed.in_force(changes={"round.deadline": "2s", "round.attempts": 2})
    amc = fed.site("amc")
    for attempt in (1, 2):
        task = await amc.task(attempt=attempt)
        await amc.contribute(task, small_step(amc, task))
        for name in ("charite", "ucl"):
            other = await fed.site(name).task(attempt=attempt)
            assert (await fed.site(name).next(Cancel)).task == other.task
    await fed.until_ended((1, 1, "abandoned", "deadline"), (1, 2, "abandoned", "deadline"))
    assert (await fed.status()).state.startswith("paused: round 1 was abandoned 2 times")
    await fed.until(lambda: fed.spooled() == [])


async def test_refusals_that_leave_too_few_abandon_and_the_round_is_tried_again(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    for name in ("charite", "ucl"):
        site = fed.site(name)
        await site.refuse(await site.task(), rule="quiet-hours")
    await fed.until(lambda: fed.rounds()[0][2] == "abandoned")
    assert fed.rounds()[0] == (1, 1, "abandoned", "too-few-sites")
    out = fed.entries("round-abandoned")[0].body["sites_out"]
    assert out["charite"] == out["ucl"] == "quiet-hours"
    task = await fed.site("amc").task(attempt=1)
    assert (await fed.site("amc").next(Cancel)).task == task.task
    tasks = await fed.tasks(attempt=2)
    assert {t.round for t in tasks.values()} == {1}
    for name, again in tasks.items():
        await fed.site(name).contribute(again, small_step(fed.site(name), again))
        fed.site(name).works()
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"), (1, 2, "closed", ""))


async def test_one_refusal_is_borne(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    ucl = fed.site("ucl")
    await ucl.refuse(await ucl.task(), rule="budget-exhausted")
    ucl.works()
    for name in ("amc", "charite"):
        fed.site(name).works()
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"ucl": "budget-exhausted"}
