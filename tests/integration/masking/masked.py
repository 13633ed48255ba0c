"""A federation whose sums are masked: the agents' own code, over TLS, in one event loop."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from datetime import UTC, datetime

import numpy as np
from federations import Here, officer_of
from hospital import Hospital, patients
from workbench import FIGURES, ScriptedWorker

from coordinator.store import record
from governance import noised, tensors
from governance.agreement.load import parse
from governance.identity.enrolment import read_token
from governance.identity.folder import finish, prepare
from governance.ledger import remote
from governance.ledger.reading import disclosed
from governance.secagg import agreed
from governance.secagg.terms import Terms
from site_agent import joining
from site_agent.jobs import Evaluated, Trained
from site_agent.member import Member
from site_agent.store import journal, masks, notes, terms, work

NAMES = ("amc", "charite", "gemelli", "karolinska", "ucl")
MASKED = {
    "aggregation": {"secure": True, "weighting": "declared"},
    "data.minimum_patients": 40,
    "data.target.prevalence": [0.1, 0.9],
    "sites.ready_at_least": 5,
    "sites.close_at_least": 4,
    "privacy": {
        "clip": 1.0,
        "noise_multiplier": 4.0,
        "delta": 1e-5,
        "budget": {"epsilon": 6.0},
        "metrics": {"exact": {"every": 1}, "minimum": 1},
    },
    "round.local": {"steps": 2, "sampling_rate": 0.1},
    "schedule.rounds": 2,
}
NOISED = {
    "privacy": {
        **MASKED["privacy"],
        "budget": {"epsilon": 8.0},
        "metrics": {"noised": {"epsilon_total": 2.0, "every": 1}, "minimum": 1},
    },
    "schedule.rounds": 1,
}
"""Figures with noise, of which the sum alone is read; a test changes an agreement to them."""
DECLARED = dict(zip(NAMES, (60, 100, 140, 180, 220), strict=True))


def clock():
    return datetime.now(UTC)


class StepWorker(ScriptedWorker):
    """A worker that makes an update of its own for every job, and keeps it."""

    def __init__(self, name):
        super().__init__()
        self.name, self.made, self.wait = name, {}, None
        self.evaluated = Evaluated(FIGURES)
        self.figures, self.judges = [], None

    async def train(self, job, progress):
        self.jobs.append(job)
        progress(2)
        if self.wait is not None:
            await self.wait.wait()
        said = f"{self.name}/{job.out.name}/{len(self.jobs)}"
        seed = int.from_bytes(hashlib.sha256(said.encode()).digest()[:4])
        drawn = np.random.default_rng(seed)
        update = {
            f"y/{name}": (0.01 * drawn.standard_normal(shape)).astype(np.float32)
            for name, shape in sorted(tensors.shapes(job.model).items())
        }
        control = None
        if job.state is not None or self.control:
            update |= {f"c/{n[2:]}": value * 3 for n, value in list(update.items())}
            own = {f"c/{n[2:]}": v for n, v in update.items() if n.startswith("y/")}
            control = tensors.path_of(job.out, tensors.write(own, job.out).digest)
        blob = tensors.write(update, job.out)
        self.made[blob.digest] = update
        path = tensors.path_of(job.out, blob.digest)
        return Trained(path, blob.digest, blob.size, 2, control)

    async def evaluate(self, job):
        agreement = parse(job.document.read_bytes()).agreement
        if not agreement.metrics_noised:
            return self.evaluated
        if self.judges is not None:
            await self.judges.wait()
        said = self.noised(agreement)
        self.figures.append(said)
        return Evaluated(said)

    def noised(self, agreement):
        """Figures of this hospital's own, with noise of their own in each call."""
        patients = DECLARED[self.name] // 2
        drawn = np.random.default_rng([len(self.figures), *self.name.encode()])
        labels = (np.arange(patients) % 3 == 0).astype(float)
        scores = 0.2 + 0.5 * labels + 0.1 * drawn.random(patients)
        return noised.noised_of(scores, labels, agreement, drawn.standard_normal)


class Agent:
    """One hospital's agent: its store on the disk, and its member as long as it runs."""

    number = 0
    """Which of its file's federations this is."""
    secure = True
    """Whether it takes part under masks alone."""

    def __init__(self, folders, name):
        self.name, self.folders = name, folders
        self.federation = folders.federation
        identity = folders.identity(name)
        self.settings = {
            "federations.0.coordinator": identity.coordinator,
            "federations.0.folder": str(folders.sites / name),
            "policy.require_secure_aggregation": self.secure,
            "policy.models": ["builtin:linear", "builtin:mlp"],
        }
        self.worker = StepWorker(name)
        self.place = folders.place / "agents"
        (self.place / name).mkdir(parents=True, exist_ok=True)
        (self.place / name / "patients.csv").write_text(patients())
        self.hospital = Hospital(self.place, name=name, clock=clock, settings=self.settings)
        self._running = None
        self.member = None

    @property
    def store(self):
        return self.hospital.store

    def start(self):
        h = self.hospital
        self.member = Member(h.m, h.identity, h.settings.federations[self.number])
        self.member._workshop._worker = self.worker
        self._running = asyncio.create_task(self.member.run())

    async def stop(self):
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def restart(self):
        """Stop as a power cut does, and start with what is on the disk."""
        await self.stop()
        self.hospital.restart()
        self.start()

    async def close(self):
        await self.stop()
        self.hospital.close()

    def consent(self, document):
        self.hospital.consent(document, patients=DECLARED.get(self.name, 100))
        self.member.bell.ring()

    # --- what is there -------------------------------------------------------------------

    def look(self, question):
        return self.store.look(question)

    def tasks(self):
        return self.look(lambda c: work.newest(c, self.federation, most=20))

    def task(self, round_=1, attempt=1, kind="train"):
        held = [
            h
            for h in self.tasks()
            if (h.task.round, h.task.attempt, h.task.kind.value) == (round_, attempt, kind)
        ]
        return held[-1] if held else None  # the first that it was asked

    def run_of(self, round_=1, attempt=1, kind="train"):
        """The masked sum of an attempt as this site keeps it, None for none."""
        held = self.task(round_, attempt, kind)
        if held is None:
            return None
        return self.look(
            lambda c: masks.find(c, self.federation, held.task.task, site=self.name)
        )

    def update(self, round_=1, attempt=1):
        """What an attempt's training made; where it was compressed, what is sent of it."""
        kept = self.task(round_, attempt).update
        if kept.digest in self.worker.made:
            return self.worker.made[kept.digest]
        return tensors.load(self.hospital.premises.state / kept.path)

    def at_work(self):
        return self.look(lambda c: work.active(c, self.federation))

    def complaints(self):
        said = self.look(lambda c: journal.of_kind(c, self.federation, "complaint"))
        return [one.statement.body["broken"] for one in said]

    def fault(self):
        return self.look(lambda c: notes.note(c, self.federation, notes.FAULT))

    def spent(self):
        return self.look(lambda c: work.spent_on(c, "patients"))


class Federation(Here):
    """A coordinator in this process, with an agent for each hospital beside it."""

    def __init__(self, folders, names=NAMES):
        super().__init__(folders)
        self.agents = {name: Agent(folders, name) for name in names}
        for agent in self.agents.values():
            journal_enrolment(folders, agent)
        self.agreement = None

    async def start(self, **base):
        await super().start(**base)
        for agent in self.agents.values():
            if agent._running is None:
                agent.start()
        return self

    async def end(self):
        for agent in self.agents.values():
            await agent.close()
        await super().end()

    async def agreed(self, *, changes=(), roster=None, consenting=None):
        """Propose an agreement with masks, and let the hospitals consent; return it."""
        said = copy.deepcopy({**MASKED, **dict(changes)})  # what is changed in it is its own
        roster = roster or tuple(self.agents)
        self.agreement = await self.propose(self.document(roster=roster, changes=said))
        for name in consenting or roster:
            await self.seen(name)
            self.agents[name].consent(self.agreement)
        return self.agreement

    async def seen(self, name):
        """Wait until an agent has the proposal."""
        agent = self.agents[name]
        digest = self.agreement.digest

        def proposals(c):
            return terms.every(c, agent.federation)

        await self.until_holds(
            lambda: any(one.digest == digest for one in agent.look(proposals))
        )

    async def until_holds(self, holds):
        """Wait until something holds of agents or coordinator; nothing is slept through."""
        async with asyncio.timeout(120):
            while not holds():
                if self.failed_serving is not None:
                    raise self.failed_serving
                await asyncio.sleep(0.01)

    @property
    def failed_serving(self):
        return self.failed if self._serving is not None else None

    async def until_closed_round(self, number):
        if self.agreement.agreement.figures_masked:  # two sums, one after the other
            await self.until_evaluating(number)
        await self.until(lambda: (number, "closed") in [(r[0], r[2]) for r in self.rounds()])

    async def until_evaluating(self, number):
        await self.until(
            lambda: number in [e.body["round"] for e in self.entries("evaluation-opened")]
        )

    def steps(self, round_=1, attempt=1, purpose="train"):
        """What the ledger says of the masked sum's steps: [(step, sites, dropped)]."""
        return [
            (e.body["step"], e.body["sites"], e.body["dropped"])
            for e in self.entries("masking-step")
            if (e.body["round"], e.body["attempt"]) == (round_, attempt)
            and e.body["purpose"] == purpose
        ]

    async def summed(self, round_=1):
        """What the sum of a round's figures says, and the sites in it."""
        every = self.entries("evaluation-summed")
        (entry,) = [e for e in every if e.body["round"] == round_]
        told = await self.base.store.read(
            lambda c: disclosed(c, record.statement_seq(c, entry.digest))
        )
        return noised.parse(told["figures"]), entry.body["sites"]

    async def missing(self):
        """Wait until an evaluation is said to be missing; return why."""
        await self.until_evaluating(1)
        await self.until(lambda: self.entries("evaluation-missing"))
        (entry,) = self.entries("evaluation-missing")
        return entry.body["reason"]

    # --- what comes of a sum -------------------------------------------------------------

    def closed(self, round_=1):
        (entry,) = [e for e in self.entries("round-closed") if e.body["round"] == round_]
        return entry.body

    def terms(self, name, round_=1, attempt=1, kind="train"):
        return Terms.from_bytes(self.agents[name].task(round_, attempt, kind).task.masks)

    def plain_mean(self, sites, round_=1, attempt=1):
        """The fixed-point mean of what these sites' workers made, without any mask."""
        terms = self.terms(sites[0], round_, attempt)
        total = np.zeros(terms.length, np.uint32)
        for name in sites:
            update = self.agents[name].update(round_, attempt)
            total += agreed.coded(terms, self.agreement.agreement, name, update)[0]
        return agreed.Mean(terms, self.agreement.agreement, total, sites)

    def committed(self, round_=1):
        body = self.closed(round_)
        return tuple(
            tensors.load(self.model_path(body[name])) for name in ("model_in", "model_out")
        )


async def populate(folders, names=NAMES):
    """Enrol hospitals, and keep what each said then."""
    fed = await Here(folders).start()
    try:
        for name in names:
            token, _ = await fed.invite("site", name)
            read, now = read_token(token), datetime.now(UTC)
            own = folders.sites / name
            request = prepare(own, read, officers=[officer_of(name)], now=now)
            finish(own, await remote.enrol(read, request), now=now)
            (own / "enrolled.statement").write_bytes(request.statement)
    finally:
        await fed.end()


class _Request:
    def __init__(self, statement):
        self.statement = statement


def journal_enrolment(folders, agent):
    """Let an agent's journal begin with its enrolment, as the program's does."""
    said = (folders.sites / agent.name / "enrolled.statement").read_bytes()
    joining._journal(agent.hospital.settings, folders.federation, _Request(said))
