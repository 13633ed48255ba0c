"""A contribution that is wrong, late, unasked for or misdescribed is refused and named."""

from __future__ import annotations

import hashlib

import grpc
import numpy as np
import pytest
from scripted_site import refused, small_step
from small_agreement import PRIVATE
from uploading import INVALID, finish_round, halfway

from governance.statements import Chain
from protos.words import BlobRef, Cancel, TaskKind

NAN, INF = np.float32("nan"), np.float32("inf")


def refusals(fed):
    return [(e.body["site"], e.body["refusal"]) for e in fed.entries("contribution-refused")]


WRONG = {
    "a tensor too few": ("wrong-shape", lambda v: {"y/linear.bias": v["y/linear.bias"]}),
    "another shape": (
        "wrong-shape",
        lambda v: {**v, "y/linear.weight": v["y/linear.weight"].T},
    ),
    "a tensor too many": ("wrong-shape", lambda v: {**v, "y/more": v["y/linear.bias"]}),
    "NaN": (
        "not-finite",
        lambda v: {**v, "y/linear.bias": np.full_like(v["y/linear.bias"], NAN)},
    ),
    "Inf": (
        "not-finite",
        lambda v: {**v, "y/linear.bias": np.full_like(v["y/linear.bias"], -INF)},
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_update_that_is_wrong_is_refused_deleted_and_in_the_ledger(fed, amc, task, what):
    rule, spoil = WRONG[what]
    path, blob = amc.update(spoil(small_step(amc, task)))
    statement = amc.contribution(task, blob)
    async with refused(rule):
        await amc.upload(task, blob, path.read_bytes(), statement)
    assert refusals(fed) == [("amc", rule)]
    await fed.until(lambda: fed.spooled() == [])
    async with refused("not-asked"):
        await amc.upload(task, blob, path.read_bytes(), statement)
    await finish_round(fed)
    assert fed.entries("round-closed")[0].body["sites_out"] == {"amc": rule}
    assert not [e for e in fed.entries("contribution-made") if e.actor == "site/amc"]


async def test_bytes_that_are_no_tensors_are_refused_and_in_the_ledger(fed, amc, task):
    data = b"not tensors at all"
    blob = BlobRef(hashlib.sha256(data).hexdigest(), len(data))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await amc.upload(task, blob, data, amc.contribution(task, blob))
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert len(refusals(fed)) == 1
    await finish_round(fed)


async def test_update_longer_than_private_training_makes_it_is_refused(fed):
    await fed.in_force(changes={**PRIVATE, "schedule.rounds": 1})
    amc = fed.site("amc")
    task = await amc.task()
    await amc.accept(task, reserve=False)
    await amc.reserve(task, **private_terms())
    values = {name: v * 1e6 for name, v in small_step(amc, task).items()}
    path, blob = amc.update(values)
    statement = amc.contribution(task, blob, epsilon="0.1")
    async with refused("norm"):
        await amc.upload(task, blob, path.read_bytes(), statement)
    assert refusals(fed) == [("amc", "norm")]


def private_terms():
    return {
        "sampling_rate": "0.01",
        "noise_multiplier": "5",
        "clip": "1",
        "expected_batch": "1",
        "epsilon_total": "0.2",
    }


async def test_update_after_the_round_closed_is_too_late(fed, amc, task, update):
    data, blob, statement = update
    await amc.refuse(task)
    for site in fed.sites.values():
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    async with refused("round-over"):
        await amc.upload(task, blob, data, statement)
    assert fed.spooled() == []


async def test_upload_that_is_under_way_when_the_round_closes_is_refused(fed):
    await fed.in_force(changes={"round.stragglers": {"close_early_after": "1s"}})
    amc = fed.site("amc")
    half = await halfway(fed, amc)
    await fed.all_in("charite", "ucl")
    assert await amc.next(Cancel) == Cancel(half.task.task, "late")
    half.more.set()
    async with refused("round-over"):
        await half.upload
    await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))


async def test_second_update_of_a_site_is_refused(fed, amc, task, update):
    data, blob, statement = update
    await amc.upload(task, blob, data, statement)
    amc.said(statement)
    path, other = amc.update(small_step(amc, task, scale=1))
    async with refused("second-update"):
        await amc.upload(task, other, path.read_bytes(), amc.contribution(task, other))
    assert fed.running().training["amc"].state == "in"
    await finish_round(fed)
    assert fed.entries("round-closed")[0].body["sites_out"] == {}


async def test_statement_about_other_bytes_is_refused(fed, amc, task, update):
    data, blob, _ = update
    other = BlobRef(hashlib.sha256(b"other").hexdigest(), blob.size)
    async with refused("digest", INVALID):
        await amc.upload(task, blob, data, amc.contribution(task, other))
    async with refused("digest", INVALID):
        await amc.upload(task, blob, data, amc.contribution(task, blob, size=blob.size + 1))


async def test_update_of_another_model_is_refused(fed, amc, task, update):
    data, blob, _ = update
    statement = amc.contribution(task, blob, base=blob.digest)
    async with refused("base"):
        await amc.upload(task, blob, data, statement)


async def test_statement_of_another_site_is_refused(fed, amc, task, update):
    data, blob, _ = update
    ucl = fed.site("ucl")
    async with refused("not-yours"):
        await amc.upload(task, blob, data, ucl.contribution(task, blob))
    async with refused("not-yours"):
        await amc.upload(task, blob, data, amc.compose("software-started", {}))


async def test_statement_out_of_its_chain_is_refused_and_the_right_one_taken(
    fed, amc, task, update
):
    data, blob, statement = update
    async with refused("broken-chain"):
        body = {**statement.body}
        skipped = Chain(statement.counter, statement.digest)
        stale = amc.compose("contribution-made", body, chain=skipped)
        await amc.upload(task, blob, data, stale)
    there = await amc.upload_offset(task, blob)
    await amc.upload(task, blob, data, statement, offset=there.offset)
    amc.said(statement)
    await finish_round(fed)


async def test_contribution_without_a_reservation_is_refused(fed, amc):
    task = await amc.task()
    await amc.accept(task, reserve=False)
    path, blob = amc.update(small_step(amc, task))
    statement = amc.contribution(task, blob)
    async with refused("no-reservation"):
        await amc.upload(task, blob, path.read_bytes(), statement)
    await amc.reserve(task)
    statement = amc.contribution(task, blob)
    data = path.read_bytes()
    await amc.upload(task, blob, data, statement, offset=len(data))
    amc.said(statement)
    await finish_round(fed)


@pytest.mark.parametrize(
    "body", [{}, {"round": "one", "attempt": 1, "update": 1, "size": []}, {"round": 1}]
)
async def test_statement_of_another_form_is_refused_and_not_a_fault_of_ours(
    fed, amc, task, update, body
):
    data, blob, _ = update
    statement = amc.compose("contribution-made", body)
    async with refused("bad-body"):
        await amc.upload(task, blob, data, statement)


async def test_site_that_was_not_asked_cannot_contribute(fed):
    two = {"sites.ready_at_least": 2, "sites.close_at_least": 2}
    document = await fed.in_force(consenting=("charite", "ucl"), changes=two)
    task = await fed.site("ucl").task()
    (amc,) = await fed.come("amc")
    await amc.consent(document)
    receipt = await amc.say("budget-reserved", amc.reservation(task))
    assert (receipt.accepted, receipt.rule) == (False, "no-such-task")
    path, blob = amc.update(small_step(amc, task))
    async with refused("not-asked"):
        await amc.upload(task, blob, path.read_bytes(), amc.contribution(task, blob))
