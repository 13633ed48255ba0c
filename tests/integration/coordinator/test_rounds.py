"""Rounds, from opening to the final model, with scripted sites."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from federations import PATIENTS, SITES, mean_by_hand
from scripted_site import good_figures, small_step
from small_agreement import GATED, PRIVATE

from coordinator import onward
from governance import tensors
from governance.figures import NOT_FINITE, Figures
from governance.models import parameter_shapes
from protos.words import AgreementState, Cancel, FinalModel, TaskKind


async def test_a_whole_agreement_runs_to_its_final_model(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    for site in fed.sites.values():
        site.works()
    finals = [await site.next(FinalModel) for site in fed.sites.values()]
    assert len(set(finals)) == 1
    assert fed.rounds() == [(1, 1, "closed", ""), (2, 1, "closed", "")]
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
        await site.model(finals[0].model)
    assert fed.entries("round-closed")[-1].body["model_out"] == finals[0].model.digest
    status = await fed.status()
    assert status.state == "the agreement is complete"
    assert status.rounds_committed == 2
    assert fed.verified().entries == status.ledger_size


async def test_model_is_the_mean_weighted_by_declared_patients_to_the_last_bit(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    for number in (1, 2):
        tasks = await fed.all_in()
        for name, task in (await fed.tasks(TaskKind.EVALUATE, round=number)).items():
            assert (await fed.site(name).evaluate(task)).accepted
        await fed.until(lambda n=number: len(fed.entries("round-closed")) == n)
        closed = fed.entries("round-closed")[-1].body
        assert closed["model_in"] == tasks["amc"].model.digest
        start = tensors.load(fed.model_path(closed["model_in"]))
        updates = {name: small_step(fed.site(name), task) for name, task in tasks.items()}
        expected = mean_by_hand(start, updates, PATIENTS)
        made = tensors.load(fed.model_path(closed["model_out"]))
        assert set(made) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(made[name], values)
    first, second = fed.entries("round-closed")
    assert second.body["model_in"] == first.body["model_out"]


async def test_equal_weighting_counts_every_site_once(fed):
    await fed.in_force(changes={"schedule.rounds": 1, "aggregation.weighting": "equal"})
    tasks = await fed.all_in()
    candidate = (await fed.tasks(TaskKind.EVALUATE))["amc"].model
    start = tensors.load(fed.model_path(tasks["amc"].model.digest))
    updates = {name: small_step(fed.site(name), task) for name, task in tasks.items()}
    expected = mean_by_hand(start, updates, dict.fromkeys(SITES, 1))
    made = tensors.load(fed.model_path(candidate.digest))
    for name, values in expected.items():
        np.testing.assert_array_equal(made[name], values)


async def test_updates_are_deleted_once_their_round_is_final(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    await fed.all_in()
    assert fed.spooled() == list(SITES)
    contributed = {e.body["update"] for e in fed.entries("contribution-made")}
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        assert (await fed.site(name).evaluate(task)).accepted
    await fed.until_ended((1, 1, "closed", ""))
    await fed.until(lambda: fed.spooled() == [])
    assert set(fed.entries("updates-deleted")[0].body["updates"]) == contributed


async def test_round_opened_is_in_the_ledger_before_any_task_leaves(fed):
    await fed.in_force()
    task = await fed.site("amc").task()
    opened = fed.entries("round-opened")[0].body
    assert (opened["round"], opened["attempt"], opened["sites"]) == (1, 1, list(SITES))
    assert opened["model"] == task.model.digest


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
        patched.setattr(onward.aggregate, "aggregate", cut_short)
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


async def test_site_that_is_back_gets_its_task_at_once(fed):
    await fed.in_force()
    amc = fed.site("amc")
    await amc.cut()
    await amc.connect()
    await amc.task()


async def test_federation_waits_until_enough_sites_are_connected(fed):
    document = await fed.propose(changes={"schedule.rounds": 1})
    for site in await fed.come():
        if site.name == "ucl":
            await asyncio.gather(*(fed.site(n).cut() for n in ("amc", "charite")))
            await fed.until(lambda: fed.base.sessions.connected == {"ucl"})
        await site.consent(document)
    assert not fed.running()
    assert (await fed.status()).state == "waits until enough sites are ready: 1 of 3"
    await fed.come("amc", "charite")
    assert set(await fed.tasks()) == set(SITES)


async def test_scaffold_carries_its_state_from_round_to_round(fed):
    await fed.in_force(changes={"schedule.rounds": 2, "strategy.name": "scaffold"})

    def with_control(site, task):
        step = small_step(site, task)
        moved = {f"c/{n.removeprefix('y/')}": np.float32(0.5) * v for n, v in step.items()}
        return {**step, **moved}

    tasks = await fed.all_in(values=with_control)
    assert {task.state for task in tasks.values()} == {None}
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        assert (await fed.site(name).evaluate(task)).accepted
    again = await fed.all_in(values=with_control)
    closed = fed.entries("round-closed")[0].body
    state = again["amc"].state
    assert (closed["state_in"], closed["state_out"]) == ("", state.digest)
    deltas = {name: with_control(fed.site(name), tasks[name]) for name in SITES}
    kept = await fed.site("amc").model(state)
    for name, values in kept.items():
        mean = sum(deltas[site][name].astype(np.float64) for site in SITES) / len(SITES)
        np.testing.assert_array_equal(values, mean.astype(np.float32))
    for name, task in (await fed.tasks(TaskKind.EVALUATE, round=2)).items():
        assert (await fed.site(name).evaluate(task)).accepted
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    assert fed.entries("round-closed")[1].body["state_in"] == state.digest


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


async def test_sites_that_send_the_same_bytes_do_not_stop_the_federation(fed):
    await fed.in_force(changes={"schedule.rounds": 1})

    def nothing(site, task):
        return {name: np.zeros_like(v) for name, v in small_step(site, task).items()}

    for site in fed.sites.values():
        site.works(nothing)
    await fed.until_ended((1, 1, "closed", ""))
    assert len(fed.entries("updates-deleted")[0].body["updates"]) == 1
    await fed.until(lambda: fed.spooled() == [])


@pytest.mark.slow
async def test_agreement_that_follows_a_complete_one_has_rounds_of_its_own(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    second = await fed.propose(changes={"schedule.rounds": 2, "optimizer.rate": 0.1})
    for site in fed.sites.values():
        await site.consent(second)
    for site in fed.sites.values():
        await site.next(AgreementState, agreement=second.digest, state="complete")
    assert [r[:3] for r in fed.rounds()] == [(n, 1, "closed") for n in (1, 2, 3)]


async def test_agreement_is_superseded_between_rounds_and_goes_on_from_the_same_model(fed):
    await fed.in_force(changes={"schedule.rounds": 3})
    await fed.all_in()
    second = await fed.propose(changes={"schedule.rounds": 2, "optimizer.rate": 0.1})
    for site in fed.sites.values():
        await site.consent(second)
    assert (await fed.status()).proposed == second.digest
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, agreement=second.digest, state="complete")
    closed = [e.body for e in fed.entries("round-closed")]
    assert len({c["agreement"] for c in closed}) == 2
    assert closed[1]["model_in"] == closed[0]["model_out"]
    assert closed[1]["agreement"] == second.digest


async def test_agreement_with_another_model_begins_with_first_weights(fed):
    await fed.in_force(changes={**GATED, "schedule.rounds": 1})
    for site in fed.sites.values():
        site.works(figures=lambda site, task: good_figures(0.9))
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    await asyncio.gather(*(site.close() for site in fed.sites.values()))
    wider = {**GATED, "model": {"name": "mlp", "hidden": [4], "norm": "none", "seed": 1}}
    second = await fed.propose(changes={"schedule.rounds": 1, **wider})
    for site in await fed.come():
        await site.consent(second)
    task = await fed.site("amc").task(round=2)
    first = await fed.site("amc").model(task.model)
    assert {name: v.shape for name, v in first.items()} == parameter_shapes(second.agreement)
    await fed.site("amc").refuse(task)

    def step(site, task):
        return {f"y/{name}": np.full(v.shape, 0.01, np.float32) for name, v in first.items()}

    for site in fed.sites.values():
        site.works(step, figures=lambda site, task: good_figures(0.6))
    await fed.site("ucl").next(AgreementState, agreement=second.digest, state="complete")
    assert fed.rounds()[1] == (2, 1, "closed", "")


async def test_schedule_that_stops_early_completes_the_agreement(fed):
    stop = {"schedule.stop": {"metric": "accuracy", "reached": 0.8}}
    await fed.in_force(changes={**GATED, **stop, "schedule.rounds": 9})
    for site in fed.sites.values():
        site.works(figures=lambda site, task: good_figures(0.9))
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    assert fed.rounds() == [(1, 1, "closed", "")]


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


async def test_rounds_between_evaluations_close_without_figures(fed):
    metrics = {"exact": {"every": 2}, "minimum": 10}
    private = {**PRIVATE, "privacy": {**PRIVATE["privacy"], "metrics": metrics}}
    await fed.in_force(changes={**private, "schedule.rounds": 2})
    terms = {
        "sampling_rate": "0.01",
        "noise_multiplier": "5",
        "clip": "1",
        "expected_batch": "1",
        "epsilon_total": "0.2",
    }
    for number in (1, 2):
        for name, task in (await fed.tasks(round=number)).items():
            site = fed.site(name)
            await site.accept(task, reserve=False)
            await site.reserve(task, **terms)
            await site.hand_in(task, small_step(site, task), epsilon="0.2")
    assert fed.rounds()[0] == (1, 1, "closed", "")
    assert not fed.entries("evaluation-made")
    for name, task in (await fed.tasks(TaskKind.EVALUATE, round=2)).items():
        assert (await fed.site(name).evaluate(task)).accepted
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
