"""The door for newcomers closes at whatever moment the coordinator is told to stop."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.conductor import Conductor
from coordinator.rehearsal.stage import free_port
from coordinator.service import _server_only_credentials
from coordinator.service_enrolment import Door


async def test_closing_door_never_swallows_a_cancellation(fed):
    door = Door(
        Conductor(fed.base), f"127.0.0.1:{free_port()}", _server_only_credentials(fed.base)
    )
    for moments in range(120):
        await door.set_open(True)
        closing = asyncio.create_task(door.set_open(False))
        for _ in range(moments):
            await asyncio.sleep(0)
        if closing.cancel():
            with pytest.raises(asyncio.CancelledError):
                await closing
    await door.set_open(False)


async def test_door_whose_closing_was_cancelled_is_closed_when_asked_again(fed):
    address = f"127.0.0.1:{free_port()}"
    door = Door(Conductor(fed.base), address, _server_only_credentials(fed.base))
    await door.set_open(True)
    closing = asyncio.create_task(door.set_open(False))
    await asyncio.sleep(0)
    closing.cancel()
    await door.set_open(False)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(*address.split(":"))
