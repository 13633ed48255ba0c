"""An upload that is cut in the middle, and a round that goes on to its end around it."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from scripted_site import PATIENCE_S

INVALID = grpc.StatusCode.INVALID_ARGUMENT


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
