"""An agent's duties with a scripted worker, and a log and a line of their own."""

from __future__ import annotations

import asyncio

import numpy as np
from hospital import FEDERATION
from simulated import Log, SimulatedLink

from governance import tensors
from governance.figures import Figures
from protos.errors import Unavailable
from protos.words import BlobRef, StatementReceipt
from site_agent.agent import TaskState
from site_agent.bell import Bell
from site_agent.duties import Duties
from site_agent.jobs import Evaluated, Trained
from site_agent.session import Presence
from site_agent.store import journal
from site_agent.store.copy import Copy
from site_agent.witness import Witness
from site_agent.worker import Killed
from site_agent.workshop import Workshop

PATIENCE_S = 120
FIGURES = Figures("binary", withheld="under-minimum")


class ScriptedWorker:
    """A worker that makes what it is told to make, dies, hangs or stumbles."""

    def __init__(self):
        self.jobs = []
        self.deaths = self.kills = 0
        self.error = None
        self.hang = None
        self.control = False
        self.killed = 0
        self.last = None
        self.hints = []
        self.evaluated = Evaluated(FIGURES)

    async def pause(self):
        self.hints.append("pause")

    async def resume(self):
        self.hints.append("resume")

    async def start(self):
        """It is warm."""

    async def stop(self):
        """It is gone."""

    async def train(self, job, progress):
        self.jobs.append(job)
        progress(2)
        if self.hang is not None:
            self.hang.set()
            try:
                await (self.last or asyncio.Event()).wait()
            except asyncio.CancelledError:
                self.killed += 1
                raise
        if self.kills:
            self.kills -= 1
            raise Killed("gone", rule="worker-gone")
        if self.deaths:
            self.deaths -= 1
            raise Unavailable("gone", rule="worker-gone")
        if self.error is not None:
            raise self.error
        return written(job.out, number=len(self.jobs), control=self.control)

    async def evaluate(self, job):
        self.jobs.append(job)
        return self.evaluated


def written(out, *, number=1, control=False):
    update = {"y/weight": np.full(2, number, np.float32)}
    if control:
        update["c/weight"] = np.ones(2, np.float32)
    blob = tensors.write(update, out)
    own = tensors.write({"c/weight": np.full(2, 7, np.float32)}, out) if control else None
    path = tensors.path_of(out, own.digest) if own else None
    return Trained(tensors.path_of(out, blob.digest), blob.digest, blob.size, 4, path)


class Bench:
    """An agent's duties, with a log and a line of their own."""

    def __init__(self, charite, path):
        self.charite = charite
        self.log = Log(charite, path)
        self.link = SimulatedLink(self.log)
        self.worker = ScriptedWorker()
        self.model = self.link.serve(b"a model")
        self.answered = set()
        self.worked_s = []
        self.begin()

    def begin(self):
        self.bell = Bell()
        self.presence = Presence()
        m = self.charite.m
        self.copy = Copy.open(self.charite.premises.copy_of(FEDERATION))
        vkey = self.charite.identity.ledger_key
        self.witness = Witness(m, self.link, self.bell, ledger_key=vkey, kept=self.copy)
        self.duties = Duties(
            m,
            self.link,
            self.bell,
            presence=self.presence,
            witness=self.witness,
            workshop=Workshop(m, self.presence, self.worker, bell=self.bell, seen_s=self.seen),
        )
        self.running = asyncio.create_task(self.duties.run())

    def seen(self, elapsed_s):
        """Round nothing up, so that no test waits; keep what would be."""
        self.worked_s.append(elapsed_s)
        return elapsed_s

    async def stop(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.copy.close()

    async def power_cut(self):
        """Stop in the middle of whatever goes on, and start again from the disk."""
        await self.stop()
        self.charite.restart()
        self.begin()

    def offer(self, document, **fields):
        blob = BlobRef(self.model, len(self.link.files[self.model]))
        task = self.charite.task(document, model=blob, **fields)
        self.charite.take(task)
        self.bell.ring()
        return task

    def receive(self, body):
        self.charite.take(body)
        self.bell.ring()

    async def until(self, task, *states):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heard = self.bell.count
                held = self.charite.held(task)
                if held.state in states:
                    return held
                await self.bell.after(heard)

    async def eventually(self, holds):
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await self.bell.within(self.bell.count, 0.05)

    async def reserved(self, task):
        """Wait for the reservation, and accept it."""
        await self.until(task, TaskState.RESERVING)
        said = self.charite.store.look(
            lambda c: journal.of_task(c, FEDERATION, task.task, kind="budget-reserved")
        )
        self.receive(StatementReceipt(said.statement.digest, accepted=True, seq=50))

    async def done(self, document, **fields):
        task = self.offer(document, **fields)
        await self.reserved(task)
        await self.until(task, TaskState.DONE)
        return task
