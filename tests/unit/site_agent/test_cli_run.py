"""`concilium-site run` as a process: it starts, stops in time, and is alone."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import pytest

from protos.words import AgreementState

PROGRAM = Path(sys.executable).with_name("concilium-site")


class Process:
    """`concilium-site run`, and what it logs."""

    def __init__(self, process):
        self.process = process
        self.events = []

    @classmethod
    async def start(cls, file):
        return cls(
            await asyncio.create_subprocess_exec(
                PROGRAM, "run", "--site", str(file), stderr=asyncio.subprocess.PIPE
            )
        )

    async def logs(self, event):
        async with asyncio.timeout(60):
            while True:
                line = await self.process.stderr.readline()
                self.events.append(line.decode())
                if f'"event": "{event}"' in self.events[-1]:
                    return json.loads(line)
                assert line, self.events

    async def ends(self, how):
        began = time.monotonic()
        self.process.send_signal(how)
        code = await asyncio.wait_for(self.process.wait(), 30)
        return code, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_the_agent_stops_within_two_seconds_and_starts_again(today, how):
    for _ in range(2):
        agent = await Process.start(today.file)
        await agent.logs("session-lost")
        code, seconds = await agent.ends(how)
        assert (code, seconds < 2.0) == (0, True), (seconds, agent.events)
    assert not (today.premises.state / "agent.sock").exists()


@pytest.mark.slow
async def test_a_second_agent_is_refused_and_verbs_reach_the_first(today, program):
    agent = await Process.start(today.file)
    await agent.logs("session-lost")
    second = await asyncio.create_subprocess_exec(
        PROGRAM, "run", "--site", str(today.file), stderr=asyncio.subprocess.PIPE
    )
    _, err = await second.communicate()
    assert second.returncode == 2
    assert f"process {agent.process.pid}" in err.decode()
    document = today.consented()
    today.take(AgreementState(document.digest, "in-force"))
    code, out, _ = await asyncio.to_thread(program_apart, today.file)
    assert (code, json.loads(out)["running"]) == (0, True)
    await agent.ends(signal.SIGTERM)


def program_apart(file):
    import subprocess

    argv = [PROGRAM, "status", "--site", str(file), "--format", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr
