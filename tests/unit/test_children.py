"""A child of the event loop is killed, and its end is told as it was."""

from __future__ import annotations

import asyncio
import signal

from governance import children


async def asleep():
    return await asyncio.create_subprocess_exec("sleep", "600")


async def test_a_child_that_is_killed_over_and_over_ends_with_the_signal(caplog):
    for _ in range(50):
        child = await asleep()
        while child.returncode is None:
            children.kill(child)
            await asyncio.sleep(0)
        assert child.returncode == -signal.SIGKILL
    assert "Unknown child" not in caplog.text


async def test_a_child_that_has_ended_is_left_alone():
    child = await asleep()
    children.kill(child)
    await child.wait()
    children.kill(child)
    assert child.returncode == -signal.SIGKILL
