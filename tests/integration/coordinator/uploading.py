"""An upload that is cut in the middle, and a round that goes on to its end around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import grpc
import pytest
from scripted_site import PATIENCE_S, small_step

if TYPE_CHECKING:
    from governance.statements import Statement
    from protos.words import BlobRef, Receipt, Task

INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Half(NamedTuple):
    """Half of an update is on its way; the rest waits for `more`."""

    task: Task
    update: tuple[bytes, BlobRef, Statement]
    upload: asyncio.Task[Receipt]
    more: asyncio.Event


async def halfway(fed, site):
    """Take a task and send half of an update for it."""
    task = await site.task()
    await site.accept(task)
    path, blob = site.update(small_step(site, task))
    update = (path.read_bytes(), blob, site.contribution(task, blob))
    half, more = asyncio.Event(), asyncio.Event()
    data, _, statement = update
    upload = fed.aside(site.upload(task, blob, data, statement, pauses=(half, more)))
    await half.wait()
    return Half(task, update, upload, more)


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
