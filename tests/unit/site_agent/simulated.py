"""A coordinator that does as it is told: a real log, real checkpoints, files to fetch."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager

from hospital import FEDERATION, OTHERS, SITE, officer_of

from governance import statements
from governance.identity import certificate
from governance.identity.keys import SigningKey
from governance.ledger import operators
from governance.ledger import store as ledger
from protos.errors import Refused, Unavailable
from protos.words import CheckpointSent, Receipt, StatementSent, UploadOffset


def agent_of(name):
    return SigningKey.from_seed(hashlib.sha256(f"agent of {name}".encode()).digest())


class Log:
    """The coordinator's log: founded, with three hospitals and an operator."""

    def __init__(self, hospital, path):
        self.hospital = hospital
        self.authority = hospital.authority
        self.key = self.authority.ledger_key()
        self.engine = ledger.open_engine(f"sqlite:///{path}")
        ledger.create(self.engine)
        self.found()

    def close(self):
        self.engine.dispose()

    def do(self, change):
        with self.engine.begin() as c:
            return change(c)

    def found(self):
        pem = certificate.to_pem([self.authority.issuing]).decode()
        body = self.enrolled("coordinator", "coordinator", self.key, ())
        founded = body | {"issuing": pem, "origin_root": self.authority.root_pem.decode()}
        self.say("enrolled", founded, "coordinator", self.key, self.authority.issuing_key)
        own = statements.countersign(self.hospital.enrolled, self.authority.issuing_key)
        self.append(statements.read(own))
        for name in OTHERS:
            body = self.enrolled("site", name, agent_of(name), (officer_of(name),))
            signers = (agent_of(name), officer_of(name), self.authority.issuing_key)
            self.say("enrolled", body, f"site/{name}", *signers)
        self.enrol_operator("ops", officer_of("operator"))

    def enrol_operator(self, name, key=None):
        key = key or officer_of(name)
        body = self.enrolled("operator", name, key, ())
        self.say("enrolled", body, f"operator/{name}", key, self.authority.issuing_key)

    def enrolled(self, role, name, key, officers):
        return {
            "name": name,
            "role": role,
            "agent": key.key_id,
            "officers": [one.key_id for one in officers],
            "needed": len(officers),
            "tls": hashlib.sha256(name.encode()).hexdigest(),
        }

    def recovered(self):
        """Let an operator say that the log is a recovered one, and lost what came after."""
        size = self.do(ledger.size_of)
        body = {"backup": size, "size": size}
        self.say("log-recovered", body, "operator/ops", officer_of("operator"))

    def append(self, statement, told=()):
        now = self.hospital.clock()
        return self.do(lambda c: ledger.append(c, statement, received_at=now, disclosures=told))

    def say(self, kind, body, actor, *signers, told=()):
        def change(c):
            payload = statements.compose(
                kind,
                body,
                actor=actor,
                key=signers[0].key_id,
                chain=ledger.chain_of(c, signers[0].key_id),
                log=self.authority.log,
                at=self.hospital.clock(),
                disclosures=told,
            )
            statement = statements.read(statements.sign(payload, signers))
            now = self.hospital.clock()
            return ledger.append(c, statement, received_at=now, disclosures=told)

        return self.do(change)

    def coordinator(self, kind, body):
        return self.say(kind, body, "coordinator", self.key)

    def proposal_of(self, document):
        body = {"agreement": document.digest, "material": document.material, "changes": {}}
        return body | operators.statement_of(document.agreement)

    def propose(self, document, **said):
        """Propose a document; `said` is what the entry states other than it should."""
        body = self.proposal_of(document) | said
        return self.say("agreement-proposed", body, "operator/ops", officer_of("operator"))

    def take_all(self):
        """Append every statement of the hospital's outbox, as the coordinator does."""
        return [
            self.append(statements.read(sent.envelope), sent.disclosures)
            for sent in self.hospital.sent(StatementSent)
        ]

    def take_all_but(self, kind):
        for sent in self.hospital.sent(StatementSent):
            statement = statements.read(sent.envelope)
            if statement.kind != kind:
                self.append(statement, sent.disclosures)

    def in_force(self, document):
        """Let the others consent, and the agreement take force."""
        for name in OTHERS:
            told = [
                statements.disclose(label, name, salt=bytes(32))
                for label in ("officer", "role")
            ]
            given = self.hospital.said("consent-given")[-1].statement.body
            self.say("consent-given", given, f"site/{name}", officer_of(name), told=told)
        body = {"agreement": document.digest, "material": document.material}
        sites = sorted((SITE, *OTHERS))
        return self.coordinator("agreement-in-force", body | {"rests_on": [], "sites": sites})

    def open_round(self, document, round_=1, attempt=1, *, model=None):
        body = {
            "agreement": document.digest,
            "round": round_,
            "attempt": attempt,
            "model": model or hashlib.sha256(f"model {round_}".encode()).hexdigest(),
            "state": "",
            "sites": sorted((SITE, *OTHERS)),
            "deadline": statements.timestamp(self.hospital.clock()),
        }
        return self.coordinator("round-opened", body)

    def abandon(self, document, round_=1, attempt=1, reason="deadline"):
        body = {"agreement": document.digest, "round": round_, "attempt": attempt}
        more = {"reason": reason, "sites_in": [], "sites_out": {SITE: "late"}}
        return self.coordinator("round-abandoned", body | more)

    def checkpoint(self, *, since=0):
        """Sign the head, as it is sent to a site that cosigned `since` last."""

        def change(c):
            note = ledger.sign_checkpoint(c, self.key, self.authority.log.origin)
            size = ledger.head(c).size
            proof = tuple(ledger.consistency(c, since, size)) if since else ()
            return CheckpointSent(note, since, proof, "")

        return self.do(change)


class SimulatedLink:
    """What a link does, without a network; `broken` is how many calls fail first."""

    def __init__(self, log=None):
        self.log = log
        self.broken = 0
        self.files = {}
        self.uploads = {}
        self.refuse = None
        self.asked = []

    def _call(self, what):
        self.asked.append(what)
        if self.broken:
            self.broken -= 1
            raise Unavailable("the line is cut", rule="unavailable")

    def serve(self, data):
        """Let a file be fetched; return its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.files[digest] = data
        return digest

    async def download(self, digest, offset, *, chunk=100):
        self._call(("download", offset))
        data = self.files[digest]
        for start in range(offset, len(data), chunk):
            yield data[start : start + chunk]

    async def upload_status(self, ref):
        self._call(("upload-status", ref.digest))
        there = len(self.uploads.get(ref.digest, b""))
        return UploadOffset(there, complete=there == ref.size)

    async def upload(self, header, chunks):
        self._call(("upload", header.offset))
        if self.refuse:
            raise Refused("no", rule=self.refuse)
        data = self.uploads.get(header.upload.digest, b"")[: header.offset]
        async for chunk in chunks:
            data += chunk
            self.uploads[header.upload.digest] = data
        return Receipt(header.upload.digest, 77)

    async def entries(self, since, until):
        self._call(("entries", since))
        with ledger.reading(self.log.engine) as c:
            records = tuple(ledger.entries(c, since, until))
        if records:
            yield records

    async def checkpoint(self):
        self._call(("checkpoint",))
        with ledger.reading(self.log.engine) as c:
            note = ledger.latest_checkpoint(c)
        if note is None:
            raise Refused("none yet", rule="no-checkpoint")
        return note

    async def consistency(self, from_size, to_size):
        self._call(("consistency", from_size))
        with ledger.reading(self.log.engine) as c:
            return tuple(ledger.consistency(c, from_size, to_size))

    @asynccontextmanager
    async def session(self):
        self._call(("session",))
        yield self.stream


__all__ = ["FEDERATION", "Log", "SimulatedLink"]
