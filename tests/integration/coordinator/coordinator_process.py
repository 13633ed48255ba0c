"""A coordinator under test as a process of its own: started, heard, killed."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

from federations import Members
from scripted_site import PATIENCE_S

_EVENT = re.compile(r'"event": "([^"]*)"')
_CHILD = """\
import os, resource, signal, sys
size, files = map(int, sys.argv[1:3])
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
if files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Sets its disk's size and how many files it may open, and hears Ctrl-C.

A shell's background job ignores that. Not a `preexec_fn`: gRPC, once loaded in the tests' own
process, bears no fork.
"""
PROGRAM = Path(sys.executable).with_name("concilium-coordinator")


class Apart(Members):
    """A coordinator as a process of its own, started by its ordinary command line."""

    def __init__(self, folders):
        super().__init__(folders)
        self.process = None
        self.said = []
        self._ear = None
        self._heard = {}

    def heard(self, event):
        """Return what ends once the program has told of an event."""
        heard = self._heard.setdefault(event, asyncio.Event())
        return asyncio.wait_for(heard.wait(), PATIENCE_S)

    async def start(self, *, dies_at=None, largest=0, files=0):
        """Start it by its command line, or so that it dies at a point of `crashing`.

        `largest` bytes is as long as a file may grow on its disk, and it may open so many
        `files`; 0 is no limit.
        """
        command = [str(PROGRAM), "serve", "--folder"]
        if dies_at is not None:
            command = [sys.executable, str(Path(__file__).with_name("crashing.py")), dies_at]
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _CHILD, str(largest), str(files)),
            *command,
            str(self.folders.coordinator),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._heard.clear()
        serving = self.heard("serving")
        self._ear = asyncio.create_task(self._listen(self.process))
        await serving
        return self

    async def _listen(self, process):
        async for line in process.stderr:
            self.said.append(line.decode())
            told = _EVENT.search(self.said[-1])
            if told is not None:
                self._heard.setdefault(told[1], asyncio.Event()).set()
        await process.wait()
        for heard in self._heard.values():
            heard.set()

    async def over(self):
        """Wait until the process ends, and return its exit code."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._ear)  # a wait in vain does not end what is waited for
            return await self.process.wait()

    async def kill(self):
        self.process.kill()
        return await self.over()

    async def terminate(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return await self.over()

    async def end(self):
        await self.leave()
        if self.process is not None and self.process.returncode is None:
            await self.kill()
