"""A site that is late or refuses: a round closes without it, or is tried again."""

from __future__ import annotations

import pytest
from scripted_site import refused, small_step

from governance.ledger import query_rounds
from protos.words import Cancel, TaskAnswer, TaskKind

SOON = {"round.stragglers": {"close_early_after": "1s"}, "schedule.rounds": 1}


def out(fed, kind="round-closed"):
    return fed.entries(kind)[0].body["sites_out"]


async def test_straggler_is_waited_for_a_while_and_then_out_as_late(fed):
    await fed.in_force(changes=SOON)
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    await ucl.accept(task)
    charite.works()
    amc.works()
    assert await ucl.next(Cancel) == Cancel(task.task, "late")
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {"ucl": "late"}


async def test_site_that_never_answers_is_told_from_one_that_is_late(fed):
    await fed.in_force(changes=SOON)
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    charite.works()
    amc.works()
    assert await ucl.next(Cancel) == Cancel(task.task, "no-answer")
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {"ucl": "no-answer"}
    told = fed.asked(lambda c: query_rounds.one_round(c, 1)).notes
    assert "ucl was waited for in attempt 1 and never answered." in told


async def test_site_that_answers_twice_is_counted_once(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    await amc.accept(task)
    await amc.accept(task, reserve=False)
    receipt = await amc.say("budget-reserved", amc.reservation(task))
    assert (receipt.accepted, receipt.rule) == (False, "reserved-twice")
    first = await amc.hand_in(task, small_step(amc, task))
    again = await amc.hand_in_again(task, small_step(amc, task))
    assert again == first
    await amc.send(TaskAnswer(task.task, accepted=False, rule="policy"))
    for site in (amc, charite, ucl):
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert len(fed.entries("contribution-made")) == 3
    assert out(fed) == {}
    fed.verified()


async def test_site_that_takes_its_tasks_and_says_no_figures_is_not_waited_for_longer(fed):
    await fed.in_force(changes=SOON)
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    await ucl.contribute(task, small_step(ucl, task))
    amc.works()
    charite.works()
    await ucl.accept(await ucl.task(TaskKind.EVALUATE), reserve=False)
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {}


async def test_site_that_drops_out_with_its_task_is_waited_for_and_may_come_back(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    await ucl.accept(task)
    await ucl.close()
    await fed.all_in("amc", "charite")
    assert fed.running().state == "collecting"
    await ucl.connect()
    await ucl.hand_in(task, small_step(ucl, task))
    for site in (amc, charite, ucl):
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {}


async def test_site_that_drops_out_for_good_is_late_once_the_others_waited(fed):
    await fed.in_force(changes=SOON)
    amc, charite, ucl = fed.sites.values()
    await ucl.accept(await ucl.task())
    await ucl.close()
    amc.works()
    charite.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {"ucl": "late"}


@pytest.mark.slow
async def test_deadline_closes_with_those_who_are_in(fed):
    await fed.in_force(changes={"round.deadline": "2s", "schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    charite.works()
    amc.works()
    task = await ucl.task()
    assert await ucl.next(Cancel) == Cancel(task.task, "no-answer")
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out(fed) == {"ucl": "no-answer"}


@pytest.mark.slow
async def test_deadline_with_too_few_abandons_and_each_attempt_pauses_at_the_last(fed):
    await fed.in_force(changes={"round.deadline": "2s", "round.attempts": 2})
    amc, charite, ucl = fed.sites.values()
    for attempt in (1, 2):
        task = await amc.task(attempt=attempt)
        await amc.contribute(task, small_step(amc, task))
        await ucl.accept(await ucl.task(attempt=attempt))
        for site, why in ((charite, "no-answer"), (ucl, "late")):
            cancel = await site.next(Cancel)
            assert (cancel.task, cancel.rule) == (task.task, why)
    await fed.until_ended((1, 1, "abandoned", "deadline"), (1, 2, "abandoned", "deadline"))
    assert out(fed, "round-abandoned") == {"charite": "no-answer", "ucl": "late"}
    assert (await fed.status()).state.startswith("paused: round 1 was abandoned 2 times")
    await fed.until(lambda: fed.spooled() == [])


async def test_refusals_that_leave_too_few_abandon_and_the_round_is_tried_again(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    for name in ("charite", "ucl"):
        site = fed.site(name)
        await site.refuse(await site.task(), rule="quiet-hours")
    await fed.until(lambda: fed.rounds()[0][2] == "abandoned")
    assert fed.rounds()[0] == (1, 1, "abandoned", "too-few-sites")
    gone = out(fed, "round-abandoned")
    assert gone["charite"] == gone["ucl"] == "quiet-hours"
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
    assert out(fed) == {"ucl": "budget-exhausted"}


async def test_update_that_comes_after_its_round_is_refused_where_late_ones_are_discarded(fed):
    await fed.in_force(changes=SOON | {"schedule.rounds": 2})
    amc, charite, ucl = fed.sites.values()
    task = await ucl.task()
    await ucl.accept(task)
    amc.works()
    charite.works()
    assert await ucl.next(Cancel) == Cancel(task.task, "late")
    await ucl.evaluate(await ucl.task(TaskKind.EVALUATE))
    second = await ucl.task(round=2)
    async with refused("late-update"):
        await ucl.hand_in_late(second, task)
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
