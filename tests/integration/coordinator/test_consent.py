"""Consent at the coordinator: no task without one in force, and leaving at any time."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import grpc
import numpy as np
import pytest
from federations import PATIENTS, mean_by_hand
from scripted_site import Ended, good_figures, refused, small_step, until_in
from uploading import halfway

from coordinator import adding
from governance import tensors
from protos.words import AgreementState, Cancel, StatementReceipt, TaskKind

TWO = {"sites.ready_at_least": 2, "sites.close_at_least": 2}


def out_of(fed, kind="round-closed"):
    """Return (sites in, sites out with their reasons) of the last end of a round."""
    body = fed.entries(kind)[-1].body
    return body["sites_in"], body["sites_out"]


async def test_site_that_did_not_consent_is_never_sent_a_task(fed):
    await fed.in_force(consenting=("amc", "charite"), changes={**TWO, "schedule.rounds": 1})
    (ucl,) = await fed.come("ucl")
    for name in ("amc", "charite"):
        fed.site(name).works()
    await ucl.next(AgreementState, state="in-force")
    await fed.until_ended((1, 1, "closed", ""))
    assert "Task" not in ucl.heard
    assert fed.entries("round-opened")[0].body["sites"] == ["amc", "charite"]


async def test_site_that_declined_is_never_sent_a_task(fed):
    document = await fed.propose(changes={**TWO, "schedule.rounds": 1})
    sites = await fed.come()
    amc, charite, ucl = sites
    receipt = await ucl.say("consent-declined", {"agreement": document.digest}, key=ucl.officer)
    assert receipt.accepted
    for site in (amc, charite):
        await site.consent(document)
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert "Task" not in ucl.heard


async def test_too_few_consents_put_nothing_in_force(fed):
    document = await fed.propose()
    sites = await fed.come("amc", "charite")
    for site in sites:
        await site.consent(document)
    status = await fed.status()
    assert (status.agreement, status.proposed) == ("", document.digest)
    assert {s.name: s.waiting_for for s in status.sites}["ucl"].startswith("its agent")


@pytest.mark.parametrize("key", ["officer", "agent"])
async def test_withdrawal_while_training_cancels_the_task_and_the_round_goes_on(fed, key):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    await amc.accept(task)
    await amc.withdraw(document, key=getattr(amc, key))
    assert await amc.next(Cancel, task=task.task) == Cancel(task.task, "consent")
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})


async def test_withdrawal_refuses_the_upload_that_is_in_flight_and_keeps_nothing_of_it(fed):
    document = await fed.in_force()
    amc, charite, ucl = fed.sites.values()
    half = await halfway(fed, amc)
    data, blob, statement = half.update
    await fed.until(lambda: fed.spooled() == ["amc"])
    await amc.withdraw(document)
    await fed.until(lambda: fed.spooled() == [])
    half.more.set()
    async with refused("upload-ended", grpc.StatusCode.UNAVAILABLE):
        await half.upload
    assert (await amc.upload_offset(half.task, blob)).offset == 0
    async with refused("consent-not-in-force"):
        await amc.upload(half.task, blob, data, statement)
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    await fed.until(lambda: fed.spooled() == [])
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})


async def test_withdrawal_after_the_update_came_in_deletes_it_and_the_round_goes_on(fed):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    assert fed.spooled() == ["amc"]
    await amc.withdraw(document)
    await fed.until(lambda: fed.spooled() == [])
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})
    deleted = fed.entries("updates-deleted")[-1].body["updates"]
    contributed = {e.body["update"] for e in fed.entries("contribution-made")}
    assert set(deleted) == contributed
    fed.verified()


async def test_withdrawals_that_leave_too_few_abandon_the_round_for_consent(fed):
    document = await fed.in_force(changes={"sites.close_at_least": 3})
    amc, *_ = fed.sites.values()
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await amc.withdraw(document)
    await fed.until_ended((1, 1, "abandoned", "consent"))
    for name in ("charite", "ucl"):
        site = fed.site(name)
        task = await site.task()
        assert (await site.next(Cancel)).task == task.task
    assert fed.spooled() == []
    status = await fed.status()
    assert status.state.startswith("waits until enough sites are ready")


@pytest.mark.slow
async def test_withdrawal_while_evaluating_sums_again_without_it(fed):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    tasks = await fed.all_in()
    first = await fed.tasks(TaskKind.EVALUATE)
    amc, charite, _ = fed.sites.values()
    assert (await charite.evaluate(first["charite"])).accepted
    await amc.withdraw(document)
    assert (await amc.next(Cancel)).task == first["amc"].task
    again = await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))
    assert again["ucl"].model != first["ucl"].model
    start = tensors.load(fed.model_path(tasks["ucl"].model.digest))
    two = {name: small_step(fed.site(name), tasks[name]) for name in ("charite", "ucl")}
    expected = mean_by_hand(start, two, {name: PATIENTS[name] for name in two})
    made = tensors.load(fed.model_path(again["ucl"].model.digest))
    for name, values in expected.items():
        np.testing.assert_array_equal(made[name], values)
    for name, task in again.items():
        assert (await fed.site(name).evaluate(task)).accepted
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["model_out"] == again["ucl"].model.digest
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})
    fed.verified()


async def test_withdrawal_while_evaluating_that_leaves_too_few_abandons_for_consent(fed):
    document = await fed.in_force(changes={"sites.close_at_least": 3})
    await fed.all_in()
    tasks = await fed.tasks(TaskKind.EVALUATE)
    amc, charite, _ = fed.sites.values()
    await amc.pause(document)
    await fed.until_ended((1, 1, "abandoned", "consent"))
    assert (await charite.next(Cancel)).task == tasks["charite"].task
    await fed.until(lambda: fed.spooled() == [])


async def test_withdrawal_while_aggregating_leaves_the_update_out(fed, monkeypatch):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    begun, go_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    sums, truly = [], adding.aggregate.aggregate

    def slowly(*given, **more):
        sums.append(sorted(given[3]))
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(20)
        return truly(*given, **more)

    monkeypatch.setattr(adding.aggregate, "aggregate", slowly)
    await fed.all_in()
    await begun.wait()
    amc, charite, ucl = fed.sites.values()
    await amc.withdraw(document)
    go_on.set()
    for site in (charite, ucl):
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert sums[0] == ["amc", "charite", "ucl"]
    assert sums[-1] == ["charite", "ucl"]
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})
    fed.verified()


async def test_paused_site_gets_tasks_again_once_it_resumed(fed):
    document = await fed.in_force(changes={"sites.close_at_least": 3, "schedule.rounds": 1})
    amc, *_ = fed.sites.values()
    await amc.task(attempt=1)
    await amc.pause(document)
    await fed.until_ended((1, 1, "abandoned", "consent"))
    assert not fed.running()
    await amc.resume(document)
    tasks = await fed.tasks(attempt=2)
    assert {task.round for task in tasks.values()} == {1}


async def test_round_opens_without_a_paused_site(fed):
    document = await fed.in_force(changes={**TWO, "schedule.rounds": 2})
    amc, charite, ucl = fed.sites.values()
    await fed.all_in("amc", "charite")  # the two who made the agreement take force
    await amc.pause(document)
    charite.works()
    ucl.works()
    await fed.until(lambda: len(fed.rounds()) > 1)
    assert fed.entries("round-opened")[-1].body["sites"] == ["charite", "ucl"]


async def test_paused_site_cannot_reserve_or_evaluate(fed):
    document = await fed.in_force()
    tasks = await fed.all_in()
    evaluations = await fed.tasks(TaskKind.EVALUATE)
    amc = fed.site("amc")
    await amc.pause(document)
    receipt = await amc.evaluate(evaluations["amc"])
    assert (receipt.accepted, receipt.rule) == (False, "no-consent")
    again = {**amc.reservation(tasks["amc"]), "task": "another/task"}
    receipt = await amc.say("budget-reserved", again)
    assert (receipt.accepted, receipt.rule) == (False, "no-consent")


@pytest.mark.slow
async def test_consent_that_lapses_in_a_round_leaves_its_update_out(fed):
    document = await fed.propose(changes={"schedule.rounds": 1})
    amc, charite, ucl = await fed.come()
    await amc.consent(document, until=until_in(1.5))
    for site in (charite, ucl):
        await site.consent(document)
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await fed.until(lambda: fed.spooled() == [])
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})
    fed.verified()


async def test_consent_that_lapses_while_training_cancels_the_task(fed):
    document = await fed.propose(changes={"schedule.rounds": 1})
    amc, charite, ucl = await fed.come()
    await amc.consent(document, until=until_in(1.5))
    for site in (charite, ucl):
        await site.consent(document)
        site.works()
    task = await amc.task()
    assert (await amc.next(Cancel)).task == task.task
    await fed.until_ended((1, 1, "closed", ""))
    assert out_of(fed) == (["charite", "ucl"], {"amc": "consent"})


async def test_leaving_another_agreement_does_not_touch_the_round(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    other = await fed.propose(changes={"schedule.rounds": 5, "optimizer.rate": 0.1})
    await amc.withdraw(other)
    await amc.contribute(task, small_step(amc, task))
    charite.works()
    ucl.works()
    await amc.evaluate(await amc.task(TaskKind.EVALUATE))
    await fed.until_ended((1, 1, "closed", ""))
    assert out_of(fed)[0] == ["amc", "charite", "ucl"]


async def test_withdrawal_said_while_offline_counts_on_return(fed):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await amc.cut()
    withdrawal = fed.aside(amc.withdraw(document))
    with pytest.raises(Ended):
        await withdrawal
    await amc.connect()
    receipt = await amc.next(StatementReceipt)
    assert receipt.accepted
    await fed.until(lambda: fed.spooled() == [])
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    assert "amc" not in out_of(fed)[0]


async def test_consent_to_an_older_proposal_does_not_bring_it_into_force(fed):
    older = await fed.propose(changes={"optimizer.rate": 0.1})
    document = await fed.in_force(changes={"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works()
    amc, charite, ucl = fed.sites.values()
    await ucl.next(AgreementState, state="complete")
    for site in (amc, charite, ucl):
        receipt = await site.say(
            "consent-given",
            await consent_body(site, older),
            key=site.officer,
            told=(site.disclose("officer", "A"), site.disclose("role", "b")),
        )
        assert isinstance(receipt, StatementReceipt)
    status = await fed.status()
    assert status.agreement != older.digest
    assert document.digest != older.digest
    assert not fed.running()


async def consent_body(site, document):
    return {
        "agreement": document.digest,
        "material": document.material,
        "review": document.digest,
        "purposes": list(document.agreement.purpose),
        "basis": {"jurisdiction": "NL", "irb": "", "permit": "", "dpa": ""},
        "until": "2099-01-01T00:00:00.000000Z",
        "declared_patients": 100,
        "cap": "inf",
        "delta": "0.00001",
        "stops_in_round": 0,
        "cohort": "all",
    }


async def test_figures_of_a_discarded_candidate_do_not_judge_the_next(fed):
    gate = {"quality.accept_if": {"metric": "accuracy", "not_worse_than": 0.1}}
    document = await fed.in_force(changes={"schedule.rounds": 2, **gate})
    await fed.all_in()
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        await fed.site(name).evaluate(task, good_figures(0.9))
    await fed.until_ended((1, 1, "closed", ""))
    await fed.all_in()
    first = await fed.tasks(TaskKind.EVALUATE)
    amc, charite, ucl = fed.sites.values()
    await charite.evaluate(first["charite"], good_figures(0.2))
    await amc.withdraw(document)
    again = await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))
    await charite.evaluate(again["charite"], good_figures(0.9))
    await ucl.evaluate(again["ucl"], good_figures(0.9))
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))


async def test_site_that_is_not_in_the_roster_cannot_consent(fed):
    await fed.enrol("site", "gemelli")
    document = await fed.propose(changes={**TWO, "schedule.rounds": 1})
    amc, gemelli = await fed.come("amc", "gemelli")
    told = (gemelli.disclose("officer", "A"), gemelli.disclose("role", "b"))
    receipt = await gemelli.say(
        "consent-given", await consent_body(gemelli, document), key=gemelli.officer, told=told
    )
    assert (receipt.accepted, receipt.rule) == (False, "not-in-roster")
    await amc.consent(document)
    assert not fed.running()
    (charite,) = await fed.come("charite")
    await charite.consent(document)
    await amc.task()
    assert fed.entries("round-opened")[0].body["sites"] == ["amc", "charite"]


async def test_first_figures_of_the_candidate_itself_are_those_that_count(fed):
    gate = {"quality.accept_if": {"metric": "accuracy", "not_worse_than": 0.1}}
    await fed.in_force(changes={"schedule.rounds": 2, **gate})
    for round_ in (1, 2):
        trained = await fed.all_in()
        tasks = await fed.tasks(TaskKind.EVALUATE, round=round_)
        amc, charite, ucl = fed.sites.values()
        other = replace(tasks["amc"], model=trained["amc"].model)
        await amc.evaluate(other, good_figures(0.1))
        assert (await amc.evaluate(tasks["amc"], good_figures(0.9))).accepted
        await amc.evaluate(tasks["amc"], good_figures(0.1))
        for site in (charite, ucl):
            await site.evaluate(tasks[site.name], good_figures(0.9))
        await fed.until(lambda n=round_: len(fed.entries("round-closed")) == n)
    assert [r[:3] for r in fed.rounds()] == [(1, 1, "closed"), (2, 1, "closed")]
