"""A candidate before the gate: judged by the sites' figures, and refused for what is wrong."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from federations import SITES
from scripted_site import good_figures, small_step
from small_agreement import GATED

from coordinator import adding
from governance.figures import NOT_FINITE, Figures
from protos.words import Cancel, TaskKind


async def judged(fed, round_, attempt, share):
    """Let a round run until every site has said figures of this share."""
    await fed.all_in()
    tasks = await fed.tasks(TaskKind.EVALUATE, round=round_, attempt=attempt)
    for name, task in tasks.items():
        await fed.site(name).evaluate(task, good_figures(share))
    await fed.until(
        lambda: len([r for r in fed.rounds() if r[2] != "open"]) >= round_ + attempt - 1
    )


async def test_gate_that_refuses_has_the_round_trained_anew_from_the_same_model(fed):
    await fed.in_force(changes={**GATED, "schedule.rounds": 2, "round.attempts": 5})
    await judged(fed, 1, 1, 0.9)
    await judged(fed, 2, 1, 0.5)
    assert fed.rounds()[:2] == [(1, 1, "closed", ""), (2, 1, "abandoned", "gate")]
    rejected = fed.entries("candidate-rejected")[0].body
    assert (rejected["round"], rejected["refusal"]) == (2, "worse")
    await judged(fed, 2, 2, 0.85)
    assert fed.rounds()[-1] == (2, 2, "closed", "")
    first, second = fed.entries("round-closed")
    assert second.body["model_in"] == first.body["model_out"]
    assert second.body["model_out"] != rejected["model"]


@pytest.mark.slow
async def test_three_refusals_of_the_gate_in_a_row_pause_the_federation_until_resumed(fed):
    await fed.in_force(changes={**GATED, "schedule.rounds": 2, "round.attempts": 9})
    await judged(fed, 1, 1, 0.9)
    for attempt in (1, 2, 3):
        await judged(fed, 2, attempt, 0.5)
    assert [r[3] for r in fed.rounds()[1:]] == ["gate"] * 3
    assert "the gate refused three candidates in a row" in (await fed.status()).state
    await fed.operator_acts("resume")
    await judged(fed, 2, 4, 0.9)
    assert fed.rounds()[-1] == (2, 4, "closed", "")


@pytest.mark.slow
async def test_gate_judges_by_those_who_said_figures_when_time_is_up(fed):
    changes = {**GATED, "schedule.rounds": 1, "round.deadline": "3s"}
    await fed.in_force(changes=changes)
    await fed.all_in()
    tasks = await fed.tasks(TaskKind.EVALUATE)
    await fed.site("amc").evaluate(tasks["amc"])
    for name in ("charite", "ucl"):
        assert (await fed.site(name).next(Cancel)).task == tasks[name].task
    await fed.until_ended((1, 1, "closed", ""))


async def test_gate_waits_for_the_sites_when_a_restart_finds_nobody_connected(fed, monkeypatch):
    begun, never, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def cut_short(*_, **__):
        loop.call_soon_threadsafe(begun.set)
        never.wait(20)
        raise RuntimeError("nobody waits for this sum")

    with monkeypatch.context() as patched:
        patched.setattr(adding.aggregate, "aggregate", cut_short)
        await fed.in_force(changes={**GATED, "schedule.rounds": 1})
        await fed.all_in()
        await begun.wait()
        await fed.leave()
        await fed.stop()
    await fed.start()
    await fed.until(lambda: fed.rounds()[0][2] == "closed" or fed.running().candidate)
    assert fed.running().state == "evaluating"
    never.set()
    await fed.come()
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        assert (await fed.site(name).evaluate(task)).accepted
    await fed.until_ended((1, 1, "closed", ""))


async def test_site_that_refuses_to_evaluate_is_not_waited_for(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    await fed.all_in()
    tasks = await fed.tasks(TaskKind.EVALUATE)
    await fed.site("amc").refuse(tasks["amc"], rule="quiet-hours")
    for name in ("charite", "ucl"):
        await fed.site(name).evaluate(tasks[name])
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_in"] == list(SITES)


async def test_sum_that_is_not_finite_is_no_candidate(fed):
    large = {"strategy.name": "scaffold", "strategy.server_rate": 100.0}
    await fed.in_force(changes={**large, "schedule.rounds": 1})

    def huge(site, task):
        step = small_step(site, task)
        moved = {f"c/{name.removeprefix('y/')}": v for name, v in step.items()}
        return {**moved, **{name: np.full_like(v, 1e38) for name, v in step.items()}}

    await fed.all_in(values=huge)
    await fed.until(lambda: len(fed.rounds()) == 2)
    assert fed.rounds()[0] == (1, 1, "abandoned", "gate")


async def test_model_whose_scores_are_no_numbers_at_one_site_is_refused(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    await fed.all_in()
    tasks = await fed.tasks(TaskKind.EVALUATE)
    await fed.site("amc").evaluate(tasks["amc"], Figures("binary", withheld=NOT_FINITE))
    for name in ("charite", "ucl"):
        await fed.site(name).evaluate(tasks[name])
    await fed.until(lambda: len(fed.rounds()) == 2)
    assert fed.rounds()[0] == (1, 1, "abandoned", "gate")
    assert fed.entries("candidate-rejected")[0].body["refusal"] == "scores-not-finite"
