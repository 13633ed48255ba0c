"""The agent's process: it ends in time, whatever its store is busy with."""

from __future__ import annotations

import subprocess
import sys
import time

BLOCKED = """
import asyncio, sys, time
from pathlib import Path
from site_agent import process

async def main():
    serving = asyncio.ensure_future(asyncio.sleep(60))
    process._stop(serving, Path(sys.argv[1]))
    time.sleep(60)  # as a store that closes waits for its last transaction

asyncio.run(main())
"""


def test_a_stop_does_not_wait_for_a_transaction_that_takes_long(tmp_path):
    bell = tmp_path / "agent.sock"
    bell.touch()
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", BLOCKED, tmp_path], check=False, timeout=30)
    assert done.returncode == 0
    assert time.monotonic() - began < 10
    assert not bell.exists()


def test_status_names_what_the_file_says_without_effect(make):
    from site_agent import answers

    assert not any("without effect" in note for note in answers.status(make().m).notes)
    wishful = make(resources__device="cuda")
    said = "Not built yet, so without effect in site.yaml: resources.device."
    assert said in answers.status(wishful.m).notes
