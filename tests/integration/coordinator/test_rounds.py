"""Rounds, from opening to the final model, with scripted sites."""

from __future__ import annotations

import asyncio

import numpy as np
from federations import PATIENTS, SITES, mean_by_hand
from scripted_site import small_step
from small_agreement import PRIVATE

from governance import tensors
from protos.words import AgreementState, FinalModel, TaskKind


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


async def test_sites_that_send_the_same_bytes_do_not_stop_the_federation(fed):
    await fed.in_force(changes={"schedule.rounds": 1})

    def nothing(site, task):
        return {name: np.zeros_like(v) for name, v in small_step(site, task).items()}

    for site in fed.sites.values():
        site.works(nothing)
    await fed.until_ended((1, 1, "closed", ""))
    assert len(fed.entries("updates-deleted")[0].body["updates"]) == 1
    await fed.until(lambda: fed.spooled() == [])


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
