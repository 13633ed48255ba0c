"""A federation under test: a real coordinator on free ports, and scripted sites around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scripted_site import PATIENCE_S, ScriptedSite, channel_to, small_step
from small_agreement import agreement_yaml

from coordinator import service
from coordinator.console import Console
from coordinator.foundation import Foundation
from coordinator.store import roundbook
from coordinator.store.writer import Store
from governance import statements
from governance.agreement.load import load
from governance.identity.enrolment import read_token
from governance.identity.folder import finish, prepare
from governance.identity.keys import SigningKey
from governance.ledger import operators, remote, source
from governance.ledger import store as ledger
from governance.ledger.schema import rounds as rounds_table
from governance.ledger.verify import verify
from governance.ledger.walk import Signatures
from governance.settings import load_coordinator
from protos.words import Proposal, TaskKind

SITES = ("amc", "charite", "ucl")
PATIENTS = {"amc": 100, "charite": 200, "ucl": 300}


class WatchedStore(Store):
    """The coordinator's own store; a test can wait until something was written."""

    def __init__(self, engine):
        super().__init__(engine)
        self.written = asyncio.Condition()

    async def write(self, change):
        result = await super().write(change)
        async with self.written:
            self.written.notify_all()
        return result


class Clock:
    """A time that stands still until a test sets it; it never goes back, as a ledger's."""

    def __init__(self, at):
        self.at = at.astimezone(UTC)

    def __call__(self):
        return self.at

    def set(self, at):
        assert at >= self.at
        self.at = at.astimezone(UTC)


class Timed(Foundation):
    """A coordinator's own foundation, by a test's clock."""

    def now(self):
        return self.clock()


class Members:
    """What both kinds of federation have: operators who act, and sites that are scripted."""

    clock = None

    def __init__(self, folders):
        self.folders = folders
        self.sites = {}
        self._asides = []

    def aside(self, doing):
        """Do something beside the test; it is cancelled at the end if it still goes on."""
        self._asides.append(asyncio.create_task(doing))
        return self._asides[-1]

    @property
    def url(self):
        settings = self.folders.coordinator / "coordinator.yaml"
        if not settings.is_file():  # a test took the folder away
            return f"sqlite:///{self.folders.coordinator.resolve()}/state/coordinator.db"
        return load_coordinator(settings).database

    async def ready(self):
        """Wait until members can connect."""
        async with channel_to(self.folders.identity("van-dijk")) as channel:
            await asyncio.wait_for(channel.channel_ready(), PATIENCE_S)

    # --- operators -----------------------------------------------------------------------

    async def ask(self, question, *, by="van-dijk"):
        """Ask something of an operator's console, which is not of this event loop."""

        def asking():
            with Console(self.folders.identity(by)) as console:
                return question(console)

        return await asyncio.to_thread(asking)

    async def act(self, kind, body, *, told=(), by="van-dijk", document=b""):
        return await self.ask(
            lambda console: console.signed(
                kind, body, dict(told), now=datetime.now(UTC), document=document
            ),
            by=by,
        )

    async def operator_acts(self, act, *, by="van-dijk", **body):
        return await self.act("operator-acted", {"act": act, **body}, by=by)

    async def revoke(self, name, *, by="van-dijk"):
        told = {"reason": "keys stolen"}
        return await self.act("revoked", {"name": name, "serials": []}, told=told, by=by)

    async def status(self, *, by="van-dijk"):
        return await self.ask(lambda console: console.status(), by=by)

    async def invite(self, role, name, *, hours=1, by="van-dijk"):
        now = datetime.now(UTC)
        token, acted = await self.ask(
            lambda console: console.invite(role, name, hours=hours, now=now), by=by
        )
        return token, acted

    async def enrol(self, role, name, *, token=None, place=None):
        """Enrol a newcomer over its own door, as each program does."""
        if token is None:
            token, _ = await self.invite(role, name)
        read, now = read_token(token), datetime.now(UTC)
        folder = place or self.folders.sites / name
        officers = [officer_of(name)] if role == "site" else []
        request = prepare(folder, read, officers=officers, now=now)
        finish(folder, await remote.enrol(read, request), now=now)

    def document(self, *, roster=SITES, changes=(), operators=("van-dijk",)):
        """Write an agreement with the enrolled keys, and load it."""
        sites = {name: officer_of(name).key_id for name in roster}
        keys = {name: self.folders.identity(name).signing_key().key_id for name in operators}
        text = agreement_yaml(sites, keys, changes)
        path = self.folders.place / "agreement.yaml"
        path.write_text(text)
        return load(path)

    async def propose(self, document=None, *, by="van-dijk", **terms):
        document = document or self.document(**terms)
        body = {"agreement": document.digest, "material": document.material, "changes": {}}
        body |= operators.statement_of(document.agreement)
        await self.act("agreement-proposed", body, by=by, document=document.raw)
        return document

    # --- sites ---------------------------------------------------------------------------

    def site(self, name):
        """Return a site, made when there is none yet."""
        if name not in self.sites:
            self.sites[name] = ScriptedSite(
                self.folders.identity(name), officer_of(name), patients=PATIENTS.get(name, 100)
            )
            if self.clock is not None:
                self.sites[name].clock = self.clock
            with ledger_of(self.url) as c:
                for key in self.sites[name].chains:
                    self.sites[name].chains[key] = ledger.chain_of(c, key)
        return self.sites[name]

    async def come(self, *names):
        """Connect sites and return them."""
        return [await self.site(name).connect() for name in names or SITES]

    async def in_force(self, *, consenting=SITES, **terms):
        """Propose an agreement, let sites consent to it, and return it; they are connected.

        With all sites of the roster connected the first round's tasks are on their way.
        """
        document = await self.propose(**terms)
        for site in await self.come(*consenting):
            await site.next(Proposal, document=document.raw)
            await site.consent(document)
        return document

    async def tasks(self, kind=TaskKind.TRAIN, *, sites=SITES, **fields):
        """Wait for the task of each site, and return them by site."""
        return {name: await self.site(name).task(kind, **fields) for name in sites}

    async def all_in(self, *names, values=small_step):
        """Let sites do their training task; return the tasks by site."""
        tasks = await self.tasks(sites=names or SITES)
        for name, task in tasks.items():
            await self.site(name).contribute(task, values(self.site(name), task))
        return tasks

    async def leave(self):
        for doing in self._asides:
            doing.cancel()
        await asyncio.gather(*self._asides, return_exceptions=True)
        for site in self.sites.values():
            await site.close()

    # --- the record ----------------------------------------------------------------------

    def entries(self, *kinds):
        """Return the log's statements, of these kinds."""
        with ledger_of(self.url) as c:
            every = [
                statements.read(e.envelope) for e in ledger.entries(c, 0, ledger.size_of(c))
            ]
        return [e for e in every if not kinds or e.kind in kinds]

    def asked(self, question):
        """Return what a question reads of the log."""
        with ledger_of(self.url) as c:
            return question(c)

    def rounds(self):
        """Return (round, attempt, state, reason) of every attempt."""
        t = rounds_table.c
        with ledger_of(self.url) as c:
            rows = c.execute(rounds_table.select().order_by(t.round, t.attempt)).all()
        return [(row.round, row.attempt, row.state, row.reason or "") for row in rows]

    def running(self):
        with ledger_of(self.url) as c:
            return roundbook.running(c)

    def spooled(self):
        """Return the sites of which anything is in the spool, which empties as it is read."""
        spool = self.folders.coordinator / "state" / "spool"
        return sorted({Path(folder).name for folder, _, files in os.walk(spool) if files})

    def verified(self, signatures=Signatures.ALL):
        """Hold that an auditor finds no fault in the log as it lies there."""
        with ledger_of(self.url) as c:
            verdict = verify(source.Database(c), signatures=signatures)
        assert verdict.verified, verdict.sentence
        return verdict

    def model_path(self, digest):
        return self.folders.coordinator / "state" / "models" / f"{digest}.safetensors"


class Here(Members):
    """A coordinator in this process, on this event loop."""

    def __init__(self, folders):
        super().__init__(folders)
        self.base = None
        self._stop = self._serving = None

    async def start(self, **base):
        Timed.clock = self.clock  # before it opens: it asks for the time then
        self.base = (Timed if self.clock else Foundation).open(self.folders.coordinator)
        self.base.store = WatchedStore(self.base.store.engine)
        for name, value in base.items():
            setattr(self.base, name, value)
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(service.serve_until(self.base, self._stop))
        await self.ready()
        return self

    async def stop(self):
        if self._serving is None:
            return
        self._stop.set()
        serving, self._serving = self._serving, None
        await serving

    async def by(self, clock):
        """Start again by a clock of the test's."""
        await self.stop()
        self.clock = clock
        return await self.start()

    async def at(self, moment):
        """Set the clock; what is due at that moment is done, and the status is returned."""
        self.clock.set(moment)
        self.base.summing.on_done()  # what is due is looked for as if its time had passed
        await self.status()
        return await self.status()

    async def restart(self):
        """Stop and start again; sites have to come back themselves."""
        await self.stop()
        await self.start()

    async def end(self):
        await self.leave()
        await self.stop()

    @property
    def failed(self):
        """Why the coordinator ended by itself, or None."""
        return self._serving.exception() if self._serving.done() else None

    async def until(self, holds):
        """Wait until something holds of what was written."""
        written = self.base.store.written
        try:
            async with asyncio.timeout(PATIENCE_S), written:
                while not holds():
                    await written.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited in vain; rounds {self.rounds()}, running {self.running()}"
            ) from None

    async def until_closed(self, knock):
        """Wait until a port is closed; each knock is a connection."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await knock()

    async def until_round(self, state):
        await self.until(lambda: (r := self.running()) is not None and r.state == state)

    async def until_ended(self, *expected):
        """Wait until as many attempts are over as are expected, and compare them."""

        def over():
            return [r for r in self.rounds() if r[2] != "open"]

        await self.until(lambda: len(over()) >= len(expected))
        assert over() == list(expected)


def mean_by_hand(model, updates, weights):
    """Return x + Σ w Δ / Σ w in float64, as float32: what FedAvg commits."""
    total = sum(weights.values())
    return {
        name: (
            x.astype(np.float64)
            + sum(
                weights[site] * updates[site][f"y/{name}"].astype(np.float64)
                for site in sorted(updates)
            )
            / total
        ).astype(np.float32)
        for name, x in model.items()
    }


def officer_of(name):
    """A site's officer; its key follows from its name, so that tests need no file of it."""
    import hashlib

    return SigningKey.from_seed(hashlib.sha256(f"officer of {name}".encode()).digest())


_OPEN = {}


@contextlib.contextmanager
def ledger_of(url):
    """Read a ledger; the last one asked stays open, since who waits asks at each write."""
    if url not in _OPEN:
        close_ledgers()
        _OPEN[url] = ledger.open_engine(url)
    with ledger.reading(_OPEN[url]) as c:
        yield c


def close_ledgers():
    """Let go of the ledger that stays open, for whoever puts another in its place."""
    for engine in _OPEN.values():
        engine.dispose()
    _OPEN.clear()


async def populate(folders):
    """Enrol the sites, a second operator and an auditor."""
    fed = await Here(folders).start()
    try:
        for name in SITES:
            await fed.enrol("site", name)
        await fed.enrol("operator", "rossi", place=folders.sites / "rossi")
        await fed.enrol("auditor", "edpb", place=folders.sites / "edpb")
    finally:
        await fed.end()
