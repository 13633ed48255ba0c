"""Updates on their way in: cut, wrong, late, twice; and receipts that got lost."""

from __future__ import annotations

import asyncio
import hashlib

import grpc
import numpy as np
import pytest
from scripted_site import PATIENCE_S, refused, small_step
from small_agreement import PRIVATE

from governance import tensors
from governance.statements import Chain
from protos import codec
from protos.words import BlobRef, Cancel, TaskKind, UploadHeader

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NAN, INF = np.float32("nan"), np.float32("inf")


@pytest.fixture
async def amc(fed):
    """The site that uploads here, its first task accepted and reserved for."""
    await fed.in_force(changes={"schedule.rounds": 1})
    return fed.site("amc")


@pytest.fixture
async def task(amc):
    task = await amc.task()
    await amc.accept(task)
    return task


@pytest.fixture
def update(amc, task):
    """What amc would send: bytes, what they are, and the statement about them."""
    path, blob = amc.update(small_step(amc, task))
    return path.read_bytes(), blob, amc.contribution(task, blob)


def refusals(fed):
    return [(e.body["site"], e.body["refusal"]) for e in fed.entries("contribution-refused")]


async def cut_at_half(fed, amc, task, update):
    """Send half of an update and cut the line."""
    data, blob, statement = update
    half = asyncio.Event()
    upload = fed.aside(amc.upload(task, blob, data, statement, pauses=(half, asyncio.Event())))
    await half.wait()
    async with asyncio.timeout(PATIENCE_S):
        while (await amc.upload_offset(task, blob)).offset < len(data) // 2:
            pass  # each question is a round trip
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload


async def finish_round(fed):
    for name in ("charite", "ucl"):
        fed.site(name).works()
    fed.site("amc").works()
    await fed.until(lambda: any(r[2] == "closed" for r in fed.rounds()))


async def test_upload_that_was_cut_goes_on_from_where_it_stopped(fed, amc, task, update):
    data, blob, statement = update
    await cut_at_half(fed, amc, task, update)
    there = await amc.upload_offset(task, blob)
    assert (there.offset, there.complete) == (len(data) // 2, False)
    receipt = await amc.upload(task, blob, data, statement, offset=there.offset)
    amc.said(statement)
    assert receipt.digest == blob.digest
    assert (await amc.upload_offset(task, blob)).complete
    await finish_round(fed)


async def test_upload_goes_on_after_the_coordinator_started_again(fed, amc, task, update):
    data, blob, statement = update
    await cut_at_half(fed, amc, task, update)
    await fed.restart()
    await fed.come()
    there = await amc.upload_offset(task, blob)
    assert there.offset == len(data) // 2
    await amc.upload(task, blob, data, statement, offset=there.offset)
    amc.said(statement)
    await finish_round(fed)


@pytest.mark.parametrize("offset", [0, 1])
async def test_upload_from_another_byte_is_refused(fed, amc, task, update, offset):
    data, blob, statement = update
    await cut_at_half(fed, amc, task, update)
    async with refused("upload-offset"):
        await amc.upload(task, blob, data, statement, offset=offset)


async def test_bytes_of_another_digest_are_deleted_and_may_be_sent_again(
    fed, amc, task, update
):
    data, blob, statement = update
    async with refused("wrong-digest"):
        await amc.upload(task, blob, data[:-1] + b"\x55", statement)
    assert fed.spooled() == []
    await amc.upload(task, blob, data, statement)
    amc.said(statement)
    await finish_round(fed)


async def test_more_bytes_than_declared_are_refused(fed, amc, task, update):
    data, blob, statement = update
    async with refused("upload-long", INVALID):
        await amc.upload(task, blob, data + b"more", statement)


async def test_fewer_bytes_than_declared_are_refused_and_can_be_completed(
    fed, amc, task, update
):
    data, blob, statement = update
    async with refused("upload-short"):
        await amc.upload(task, blob, data[:-4], statement)
    await amc.upload(task, blob, data, statement, offset=len(data) - 4)


async def test_update_larger_than_the_quota_is_refused_before_a_byte_of_it(fed, amc, task):
    large = BlobRef(hashlib.sha256(b"large").hexdigest(), 5 << 30)
    statement = amc.contribution(task, large)
    async with refused("spool-quota"):
        await amc.upload(task, large, b"", statement)
    assert fed.spooled() == []


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
    task = await amc.task()
    await amc.accept(task)
    path, blob = amc.update(small_step(amc, task))
    statement = amc.contribution(task, blob)
    half, more = asyncio.Event(), asyncio.Event()
    upload = fed.aside(
        amc.upload(task, blob, path.read_bytes(), statement, pauses=(half, more))
    )
    await half.wait()
    await fed.all_in("charite", "ucl")
    assert await amc.next(Cancel) == Cancel(task.task, "late")
    more.set()
    async with refused("round-over"):
        await upload
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


async def test_second_stream_of_an_upload_cuts_the_first_off(fed, amc, task, update):
    data, blob, statement = update
    half, more = asyncio.Event(), asyncio.Event()
    first = fed.aside(amc.upload(task, blob, data, statement, pauses=(half, more)))
    await half.wait()
    async with asyncio.timeout(PATIENCE_S):
        while (there := await amc.upload_offset(task, blob)).offset == 0:
            pass  # each question is a round trip
    receipt = await amc.upload(task, blob, data, statement, offset=there.offset)
    amc.said(statement)
    assert receipt.digest == blob.digest
    more.set()
    with pytest.raises(grpc.aio.AioRpcError):
        await first
    assert len(fed.entries("contribution-made")) == 1
    await finish_round(fed)


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


async def test_lost_receipt_is_given_again_while_the_round_collects(fed, amc, task, update):
    data, blob, statement = update
    receipt = await amc.upload(task, blob, data, statement)
    amc.said(statement)
    again = await amc.upload(task, blob, data, statement, offset=len(data))
    assert again == receipt
    await finish_round(fed)


@pytest.mark.parametrize("moment", ["evaluating", "closed"])
async def test_lost_receipt_is_given_again_when_the_round_has_moved_on(
    fed, amc, task, update, moment
):
    data, blob, statement = update
    receipt = await amc.upload(task, blob, data, statement)
    amc.said(statement)
    await fed.all_in("charite", "ucl")
    await fed.until_round("evaluating")
    if moment == "closed":
        await finish_round(fed)
        await fed.until(lambda: fed.spooled() == [])
    assert (await amc.upload_offset(task, blob)).complete
    assert await amc.upload(task, blob, data, statement, offset=len(data)) == receipt
    assert await amc.upload(task, blob, data, statement) == receipt


async def test_receipt_of_another_site_is_not_given(fed, amc, task, update):
    data, blob, statement = update
    await amc.upload(task, blob, data, statement)
    amc.said(statement)
    ucl = fed.site("ucl")
    async with refused("not-yours"):
        await ucl.upload(task, blob, data, statement, offset=len(data))
    assert not (await ucl.upload_offset(task, blob)).complete


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


async def test_upload_without_its_header_is_refused(fed, amc, task, update):
    data, blob, statement = update
    header = UploadHeader(amc.reference(task, blob), 0, statement.envelope)

    async def send(*parts):
        async def out():
            for part in parts:
                yield codec.upload_part_out(part)

        async with amc.calls() as stub:
            return await stub.Upload(out(), wait_for_ready=True, timeout=PATIENCE_S)

    for parts in ((), (data,), (header, data[:4], header)):
        async with refused("header-first", INVALID):
            await send(*parts)


async def test_model_is_downloaded_from_any_byte_on(fed, amc, task):
    whole = await amc.download(task.model)
    assert hashlib.sha256(whole).hexdigest() == task.model.digest
    assert await amc.download(task.model, offset=10) == whole[10:]
    assert await amc.download(task.model, offset=len(whole)) == b""
    unknown = BlobRef(hashlib.sha256(b"no").hexdigest(), 1)
    async with refused("unknown-model"):
        await amc.download(unknown)


async def test_update_in_many_chunks_is_whole(fed):
    wide = {"model": {"name": "mlp", "hidden": [1024, 1024], "norm": "none", "seed": 1}}
    await fed.in_force(changes={**wide, "schedule.rounds": 1})
    tasks = await fed.tasks()
    start = await fed.site("amc").model(tasks["amc"].model)

    def step(site, task):
        draws = np.random.default_rng(len(site.name))
        return {
            f"y/{name}": draws.standard_normal(v.shape).astype(np.float32) / 100
            for name, v in start.items()
        }

    for name, task in tasks.items():
        await fed.site(name).contribute(task, step(fed.site(name), task))
    candidate = (await fed.site("ucl").task(TaskKind.EVALUATE)).model
    assert candidate.size > 4 << 20
    made = tensors.load(fed.model_path(candidate.digest))
    assert {name: v.shape for name, v in made.items()} == {n: v.shape for n, v in start.items()}
