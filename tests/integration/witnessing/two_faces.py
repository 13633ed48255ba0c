"""A scripted coordinator over TLS: it may keep two logs, and show each hospital one of them."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from functools import partial

import grpc
from hospital import FEDERATION, Clock, Hospital, officer_of
from simulated import Log

from governance import statements
from governance.identity import certificate
from governance.ledger import store as ledger
from protos import codec
from protos.concilium.v1 import audit_pb2_grpc, federation_pb2_grpc
from protos.errors import Refused
from protos.words import (
    CheckpointSent,
    CosignatureSent,
    Hello,
    StatementSent,
    ToSite,
    Welcome,
)
from site_agent import deciding, voice
from site_agent.bell import Bell
from site_agent.egress import Egress
from site_agent.link import Address, Link, Papers
from site_agent.readiness import Readiness
from site_agent.session import Presence, Session
from site_agent.store import notes
from site_agent.store.copy import Copy
from site_agent.voice import Saying
from site_agent.witness import Witness

PATIENCE_S = 60
NAMES = ("amc", "charite", "gemelli", "karolinska", "ucl")
_NAME = re.compile(rb"concilium://[a-z]+/site/([a-z]+)")


class FullLog(Log):
    """A log in which five hospitals are enrolled, with rounds that end as they are told to."""

    def __init__(self, hospitals, path, *, empty=True):
        self.hospitals = hospitals
        self.hospital = hospitals["charite"]
        self.authority = self.hospital.authority
        self.key = self.authority.ledger_key()
        self.engine = ledger.open_engine(f"sqlite:///{path}")
        self.path, self.models = path, 0
        self.written = asyncio.Condition()
        if empty:
            ledger.create(self.engine)
            self.found()

    def found(self):
        pem = certificate.to_pem([self.authority.issuing]).decode()
        body = self.enrolled("coordinator", "coordinator", self.key, ())
        founded = body | {"issuing": pem, "origin_root": self.authority.root_pem.decode()}
        self.say("enrolled", founded, "coordinator", self.key, self.authority.issuing_key)
        for hospital in self.hospitals.values():
            own = statements.countersign(hospital.enrolled, self.authority.issuing_key)
            self.append(statements.read(own))
        operator = officer_of("operator")
        body = self.enrolled("operator", "ops", operator, ())
        self.say("enrolled", body, "operator/ops", operator, self.authority.issuing_key)

    def agree(self, document):
        """Propose, take everybody's consent, and let the agreement take force."""
        self.propose(document)
        for hospital in self.hospitals.values():
            for sent in hospital.sent(StatementSent):
                self.append(statements.read(sent.envelope), sent.disclosures)
        body = {"agreement": document.digest, "material": document.material}
        self.coordinator(
            "agreement-in-force", body | {"rests_on": [], "sites": sorted(self.hospitals)}
        )

    def fork(self, path):
        """Return another log with the same past."""
        with closing(sqlite3.connect(self.path)) as ours, closing(sqlite3.connect(path)) as new:
            ours.backup(new)
        return FullLog(self.hospitals, path, empty=False)

    def round(self, document, number, names, *, model):
        """Hold one round with the hospitals that are shown this log."""
        place = {"agreement": document.digest, "round": number, "attempt": 1}
        before, after = (_digest(f"{model} {n}") for n in (number - 1, number))
        self.coordinator(
            "round-opened",
            {
                **place,
                "model": before,
                "state": "",
                "sites": sorted(names),
                "deadline": statements.timestamp(self.hospital.clock()),
            },
        )
        for name in names:
            self.said_by(name, "budget-reserved", place | _reservation(number))
            self.said_by(name, "contribution-made", place | _contribution(before))
        closed = {
            "model_in": before,
            "model_out": after,
            "state_in": "",
            "state_out": "",
            "sites_in": sorted(names),
            "sites_out": {},
        }
        self.coordinator("round-closed", place | closed)

    def said_by(self, name, kind, body):
        hospital = self.hospitals[name]
        saying = Saying(kind, body, "x")
        signed = hospital.store.now(partial(voice.say, voice=hospital.m.voice, saying=saying))
        self.append(signed)

    def head(self, *, predecessor=None):
        """Sign the head, as it is sent: with the one before and its cosignatures."""

        def change(c):
            before = ledger.latest_checkpoint(c) or ""
            note = ledger.sign_checkpoint(c, self.key, self.authority.log.origin)
            return CheckpointSent(note, 0, (), before if predecessor is None else predecessor)

        return self.do(change)

    def latest(self):
        return self.do(ledger.latest_checkpoint)

    async def cosigned_by(self, *names):
        """Wait until these hospitals cosigned the latest head."""

        def there(c):
            return set(names) <= set(ledger.cosigners(c, ledger.size_of(c)))

        async with asyncio.timeout(PATIENCE_S), self.written:
            while not self.do(there):
                await self.written.wait()


class Coordinator(federation_pb2_grpc.FederationServicer, audit_pb2_grpc.AuditServicer):
    """Speaks with each hospital over its session, from the log that is shown to it."""

    def __init__(self, clock, log, *, said):
        self.clock = clock
        self.shown = dict.fromkeys(NAMES, log)
        self.outboxes = {name: [None] * said for name in NAMES}  # what was taken before
        self.told = {name: asyncio.Event() for name in NAMES}

    def tell(self, name, body):
        outbox = self.outboxes[name]
        outbox.append(ToSite(body, seq=len(outbox) + 1))
        self.told[name].set()

    async def Session(self, requests, context):  # noqa: N802
        name = _caller(context)
        hello = codec.from_site_in(await anext(aiter(requests)))
        assert isinstance(hello.body, Hello)
        welcome = Welcome(codec.PROTOCOL, 5.0, 4 << 20, self.clock())
        await context.write(codec.to_site_out(ToSite(welcome)))
        reading = asyncio.create_task(self._read(name, requests))
        written = hello.ack
        try:
            while not reading.done():
                self.told[name].clear()
                for word in self.outboxes[name][written:]:
                    await context.write(codec.to_site_out(word))
                    written = word.seq
                await self._something(name, reading)
        finally:
            reading.cancel()

    async def _something(self, name, reading):
        told = asyncio.create_task(self.told[name].wait())
        await asyncio.wait({told, reading}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()

    async def _read(self, name, requests):
        async for request in requests:
            word = codec.from_site_in(request)
            if isinstance(word.body, CosignatureSent):
                log = self.shown[name]
                log.do(partial(_keep, told=word.body, name=name))
                async with log.written:
                    log.written.notify_all()

    async def Entries(self, request, context):  # noqa: N802
        wanted = codec.entries_request_in(request)
        with ledger.reading(self.shown[_caller(context)].engine) as c:
            records = tuple(ledger.entries(c, wanted.since, wanted.until))
        if records:
            await context.write(codec.entry_batch_out(records))

    async def Checkpoint(self, request, context):  # noqa: N802
        return codec.note_out(self.shown[_caller(context)].latest())

    async def Consistency(self, request, context):  # noqa: N802
        wanted = codec.consistency_request_in(request)
        with ledger.reading(self.shown[_caller(context)].engine) as c:
            hashes = ledger.consistency(c, wanted.from_size, wanted.to_size)
        return codec.proof_out(tuple(hashes))


class Site:
    """One hospital's session and witness, as its agent runs them."""

    def __init__(self, hospital, port):
        self.hospital, m, identity = hospital, hospital.m, hospital.identity
        papers = Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)
        egress = Egress(m.store, FEDERATION, m.now)
        self.link = Link(Address(f"localhost:{port}"), papers, egress)
        self.bell = Bell()
        self.copy = Copy.open(m.premises.copy_of(FEDERATION))
        self.witness = Witness(
            m, self.link, self.bell, ledger_key=identity.ledger_key, kept=self.copy
        )
        self.session = Session(m, self.link, Presence(), bell=self.bell)

    async def run(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.session.run())
            group.create_task(self.witness.run())

    async def close(self):
        await self.link.close()
        self.copy.close()
        self.hospital.close()

    def note(self, name):
        return self.hospital.store.look(lambda c: notes.note(c, FEDERATION, name))

    async def until_noted(self, name):
        """Wait until the agent wrote something down under a name."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.note(name):
                await self.bell.within(self.bell.count, 0.05)
        return self.note(name)

    async def asked(self, document, round_):
        """Be given a task; return its rule: empty where it may go on."""
        task = self.hospital.task(document, round_=round_)
        self.hospital.take(task)
        readiness = Readiness(self.hospital.m)
        facts = await self.witness.facts_for(task, self._no_skew, readiness)
        held = self.hospital.held(task)
        self.hospital.store.now(lambda c: deciding.decide(c, self.hospital.m, held, facts))
        return self.hospital.held(task).rule

    @property
    def _no_skew(self):
        return self.hospital.clock() - self.hospital.clock.time


class Federation:
    """The five, and the coordinator with its one log or two."""

    def __init__(self, template, place):
        for name in (*NAMES, "coordinator"):
            shutil.copytree(template / name, place / name)
        self.place, self.clock = place, Clock(datetime.now(UTC))
        self.hospitals = {name: Hospital(place, name=name, clock=self.clock) for name in NAMES}
        roster = {"roster": NAMES, "sites__ready_at_least": 3, "sites__close_at_least": 3}
        self.document = self.hospitals["charite"].document(**roster)
        for hospital in self.hospitals.values():
            hospital.consented(self.document)
        self.log = FullLog(self.hospitals, place / "log.db")
        self.log.agree(self.document)
        self.logs = [self.log]
        self.coordinator = Coordinator(self.clock, self.log, said=2)
        self.sites = {}

    @asynccontextmanager
    async def serving(self):
        server = grpc.aio.server()
        federation_pb2_grpc.add_FederationServicer_to_server(self.coordinator, server)
        audit_pb2_grpc.add_AuditServicer_to_server(self.coordinator, server)
        keys = self.place / "coordinator" / "keys"
        pair = tuple((keys / f"coordinator.{end}").read_bytes() for end in ("key", "pem"))
        root = (keys / "root.pem").read_bytes()
        port = server.add_secure_port(
            "localhost:0", grpc.ssl_server_credentials([pair], root, require_client_auth=True)
        )
        await server.start()
        self.sites = {name: Site(h, port) for name, h in self.hospitals.items()}
        running = [asyncio.create_task(site.run()) for site in self.sites.values()]
        try:
            yield self
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for site in self.sites.values():
                await site.close()
            await server.stop(0)
            for log in self.logs:
                log.close()

    def part(self, *names):
        """From now on show these hospitals a log of their own; return it."""
        other = self.log.fork(self.place / "other.db")
        self.logs.append(other)
        for name in names:
            self.coordinator.shown[name] = other
        return other

    def seeing(self, log):
        return [name for name, shown in self.coordinator.shown.items() if shown is log]

    async def round(self, number, log, *, model="m"):
        """Hold a round on a log with those who are shown it; all of them cosign its end."""
        names = self.seeing(log)
        log.round(self.document, number, names, model=model)
        sent = log.head()
        for name in names:
            self.coordinator.tell(name, sent)
        await log.cosigned_by(*names)

    async def rules(self, number, log):
        """Give everybody who is shown a log a task of a round; return the rules, by name."""
        names = self.seeing(log)
        asked = [self.sites[name].asked(self.document, number) for name in names]
        async with asyncio.timeout(PATIENCE_S):
            return dict(zip(names, await asyncio.gather(*asked), strict=True))

    async def out_of_time(self, number, log):
        """Give a task, wait until all of them wait, and let its deadline pass."""
        names = self.seeing(log)
        asked = asyncio.create_task(self.rules(number, log))
        why = {name: await self.sites[name].until_noted(notes.WAITS) for name in names}
        self.clock.pass_(minutes=11)
        return await asked, why


def _keep(c, *, told, name):
    try:
        ledger.add_cosignature(c, told.size, told.line, name)
    except Refused:
        return  # of a head that only the other log has


def _caller(context):
    (uri,) = {
        found.group(1)
        for value in context.auth_context()["x509_subject_alternative_name"]
        if (found := _NAME.fullmatch(value))
    }
    return uri.decode()


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _reservation(number):
    return {
        "task": f"{FEDERATION}/{number}/1/train",
        "cohort": "patients",
        "sampling_rate": "0.1",
        "noise_multiplier": "2",
        "clip": "1",
        "expected_batch": "6",
        "steps": 4,
        "delta": "0.00001",
        "loader": "poisson",
        "unit": "patient",
        "epsilon_total": "1.0000",
    }


def _contribution(base):
    return {
        "base": base,
        "update": _digest(f"update of {base}"),
        "size": 4096,
        "steps": 4,
        "loader": "poisson",
        "unit": "patient",
        "epsilon": "1.0000",
        "worker": _digest("worker"),
        "declared_patients": 60,
    }
