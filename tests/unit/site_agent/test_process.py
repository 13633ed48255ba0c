"""The agent's process: it ends in time, whatever its store is busy with."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
import torch

from protos.errors import Refused
from site_agent import process

BLOCKED = """
import asyncio, sys, time
from pathlib import Path
from site_agent import process

async def main():
    serving = asyncio.ensure_future(asyncio.sleep(60))
    process._stop(serving, Path(sys.argv[1]))
    time.sleep(600)  # as a store that closes waits for its last transaction

asyncio.run(main())
"""


def test_a_stop_does_not_wait_for_a_transaction_that_takes_long(tmp_path):
    bell = tmp_path / "agent.sock"
    bell.touch()
    done = subprocess.run([sys.executable, "-c", BLOCKED, tmp_path], check=False, timeout=60)
    assert done.returncode == 0
    assert not bell.exists()


async def test_a_stop_lasts_until_each_federation_has_stopped():
    begun, stopped = asyncio.Semaphore(0), []

    async def serve(name, *, turns):
        try:
            begun.release()
            await asyncio.Event().wait()
        finally:
            for _ in range(turns):
                await asyncio.sleep(0)
            stopped.append(name)
        return ""

    serving = asyncio.ensure_future(
        process.together([serve("hearts", turns=0), serve("lungs", turns=9)])
    )
    for _ in range(2):
        await begun.acquire()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert stopped == ["hearts", "lungs"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a cuda device here")
def test_an_agent_whose_device_torch_does_not_see_refuses_to_start(make):
    process._check_device(make().settings)
    with pytest.raises(Refused, match="torch sees no cuda device") as refusal:
        process._check_device(make(resources__device="cuda").settings)
    assert refusal.value.rule == "no-device"
