"""Updates on their way in: cut, sent again, twice; and receipts that got lost."""

from __future__ import annotations

import asyncio
import hashlib

import grpc
import numpy as np
import pytest
from scripted_site import PATIENCE_S, refused
from uploading import INVALID, cut_at_half, finish_round

from coordinator.spool import Spool
from governance import tensors
from protos import codec
from protos.words import BlobRef, TaskKind, UploadHeader


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
    fed.base.spool = Spool(fed.folders.coordinator / "state" / "spool", quota_bytes=1 << 20)
    large = BlobRef(hashlib.sha256(b"large").hexdigest(), 2 << 20)
    statement = amc.contribution(task, large)
    async with refused("spool-quota"):
        await amc.upload(task, large, b"", statement)
    assert fed.spooled() == []


async def test_update_longer_than_one_of_the_model_is_refused_before_a_byte_of_it(
    fed, amc, task
):
    large = BlobRef(hashlib.sha256(b"large").hexdigest(), 5 << 30)
    async with refused("file-too-large"):
        await amc.upload(task, large, b"", amc.contribution(task, large))
    assert fed.spooled() == []


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
