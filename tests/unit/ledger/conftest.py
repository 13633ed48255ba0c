"""A small federation whose every statement is really signed, on a log in a database."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance import statements
from governance.identity import certificate, issuing
from governance.identity.keys import AuthorityKey, SigningKey
from governance.ledger import store
from governance.statements import Log
from protos.errors import PeerFault, Refused

sys.path.insert(0, str(Path(__file__).parent))

from admission import content, digest
from engines import ENGINES

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def disclosure(label, value):
    return statements.disclose(label, value, salt=hashlib.sha256(label.encode()).digest())


@dataclass
class Authorities:
    """A root and an issuing authority; made once, since P-256 certificates take a while."""

    federation: str
    root_key: object = None
    root: object = None

    def __post_init__(self):
        self.root_key = certificate.make_tls_key()
        self.root = issuing.root_authority(self.root_key, federation=self.federation, now=START)

    def issue(self):
        key = certificate.make_tls_key()
        made = issuing.issuing_authority(
            key.public_key(),
            federation=self.federation,
            issuer=self.root,
            key=self.root_key,
            now=START,
        )
        return AuthorityKey(key), certificate.to_pem([made]).decode()

    @property
    def root_pem(self):
        return certificate.to_pem([self.root]).decode()

    @property
    def log(self):
        return Log.of(self.federation, certificate.fingerprint(self.root))


@dataclass
class Federation:
    """Members, their keys, and a log that they speak into; each second something happens."""

    authorities: Authorities
    authority: AuthorityKey
    issuing_pem: str
    connection: object
    now: datetime = START
    keys: dict = field(default_factory=dict)

    @property
    def log(self):
        return self.authorities.log

    def key(self, name):
        if name not in self.keys:
            self.keys[name] = SigningKey.from_seed(hashlib.sha256(name.encode()).digest())
        return self.keys[name]

    # --- saying ------------------------------------------------------------------------

    def statement(self, kind, body, actor, *signers, told=(), chain=None, log=None, at=None):
        first = signers[0]
        payload = statements.compose(
            kind,
            body,
            actor=actor,
            key=first.key_id,
            chain=chain or store.chain_of(self.connection, first.key_id),
            log=log or self.log,
            at=at or self.now,
            disclosures=told,
        )
        return statements.read(statements.sign(payload, signers))

    def append(self, statement, told=()):
        self.now += timedelta(seconds=1)
        return store.append(self.connection, statement, received_at=self.now, disclosures=told)

    def say(self, kind, body, actor, *signers, told=(), **more):
        return self.append(self.statement(kind, body, actor, *signers, told=told, **more), told)

    def agent(self, site, kind, body, **more):
        return self.say(kind, body, f"site/{site}", self.key(f"{site} agent"), **more)

    def officer(self, site, kind, body, **more):
        return self.say(kind, body, f"site/{site}", self.key(f"{site} officer"), **more)

    def coordinator(self, kind, body, **more):
        return self.say(kind, body, "coordinator", self.key("ledger"), **more)

    def operator(self, kind, body, name="ops", **more):
        return self.say(kind, body, f"operator/{name}", self.key(name), **more)

    # --- founding and enrolling --------------------------------------------------------

    def genesis_body(self):
        return {
            "name": "coordinator",
            "role": "coordinator",
            "agent": self.key("ledger").key_id,
            "officers": [],
            "needed": 0,
            "tls": digest("coordinator tls"),
            "issuing": self.issuing_pem,
            "origin_root": self.authorities.root_pem,
        }

    def found(self):
        return self.say(
            "enrolled", self.genesis_body(), "coordinator", self.key("ledger"), self.authority
        )

    def enrol_body(self, role, name, officers=(), needed=0):
        agent = f"{name} agent" if role == "site" else name
        return {
            "name": name,
            "role": role,
            "agent": self.key(agent).key_id,
            "officers": [self.key(one).key_id for one in officers],
            "needed": needed,
            "tls": digest(f"{name} tls"),
        }

    def enrol_site(self, name, officers=None, needed=1):
        officers = officers or [f"{name} officer"]
        body = self.enrol_body("site", name, officers, needed)
        signers = [self.key(f"{name} agent"), *(self.key(one) for one in officers)]
        return self.say("enrolled", body, f"site/{name}", *signers, self.authority)

    def enrol(self, role, name):
        body = self.enrol_body(role, name)
        return self.say("enrolled", body, f"{role}/{name}", self.key(name), self.authority)

    def certify(self, name, role, serial, **more):
        body = {
            "name": name,
            "role": role,
            "serial": serial,
            "fingerprint": digest(serial),
            "not_after": statements.timestamp(START + timedelta(days=90)),
        }
        return self.say("certificate-issued", body, "authority", self.authority, **more)

    # --- agreements and consent --------------------------------------------------------

    def propose(self, agreement, material=None, operators=(), two_for=()):
        """Propose an agreement that states its operators, if any are named."""
        body = {
            "agreement": digest(agreement),
            "material": digest(material or agreement),
            "changes": {},
        }
        if operators:
            body["operators"] = {name: self.key(name).key_id for name in operators}
            body["two_for"] = list(two_for)
        return self.operator("agreement-proposed", body)

    def consent_body(self, agreement, material=None, until=None, cap="8"):
        return {
            "agreement": digest(agreement),
            "material": digest(material or agreement),
            "review": digest("what was shown"),
            "purposes": ["DUO:0000006"],
            "basis": {"jurisdiction": "DE", "irb": "EA1/026/26", "permit": "", "dpa": ""},
            "until": statements.timestamp(until or START + timedelta(days=365)),
            "declared_patients": 120,
            "cap": cap,
            "delta": "0.00001",
            "stops_in_round": 0,
            "cohort": "infarction",
        }

    def consent(self, site, agreement, material=None, **more):
        told = (disclosure("officer", "A. Person"), disclosure("role", "director"))
        body = self.consent_body(agreement, material, **more)
        return self.officer(site, "consent-given", body, told=told)

    def moved(self, state, agreement, *sites, material=None, rests_on=()):
        body = {
            "agreement": digest(agreement),
            "material": digest(material or agreement),
            "rests_on": list(rests_on),
            "sites": list(sites),
        }
        return self.coordinator(f"agreement-{state}", body)

    # --- rounds ------------------------------------------------------------------------

    def at(self, round_, attempt=1, agreement="first"):
        return {"agreement": digest(agreement), "round": round_, "attempt": attempt}

    def open_round(self, round_, attempt=1, sites=("amc", "ucl"), model="m0", draw=(), **more):
        body = {
            **self.at(round_, attempt, **more),
            "model": digest(model),
            "state": "",
            "sites": list(sites),
            "deadline": statements.timestamp(self.now + timedelta(hours=1)),
            **dict(draw),
        }
        return self.coordinator("round-opened", body)

    def reserve_body(self, round_, attempt=1, total="1.0000", **more):
        return {
            **self.at(round_, attempt, **more),
            "task": f"heart/{round_}/{attempt}/train",
            "cohort": "infarction",
            "sampling_rate": "0.1",
            "noise_multiplier": "1.1",
            "clip": "1",
            "expected_batch": "12",
            "steps": 5,
            "delta": "0.00001",
            "loader": "poisson",
            "unit": "patient",
            "epsilon_total": total,
        }

    def reserve(self, site, round_, attempt=1, **more):
        body = self.reserve_body(round_, attempt, **more)
        return self.agent(site, "budget-reserved", body)

    def metrics_body(self, round_, attempt=1, total="1.0000", **more):
        """What is reserved for noised figures of one model."""
        figures = {
            "task": f"heart/{round_}/{attempt}/evaluate",
            "sampling_rate": "1",
            "noise_multiplier": "9",
            "clip": "1.3228756555322954",
            "expected_batch": "1",
            "steps": 1,
            "loader": "all",
            "purpose": "metrics",
        }
        return self.reserve_body(round_, attempt, total) | figures | more

    def audit_body(self, **changes):
        """A privacy test of one round: of 200 guesses on 1000 canaries 120 are right."""
        return {
            "agreement": digest("first"),
            "test": "canaries",
            "patients": "synthetic",
            "sampling_rate": "0.1",
            "noise_multiplier": "1.1",
            "steps": 5,
            "rounds": 1,
            "delta": "0.00001",
            "claimed": "1.9",
            "canaries": 1000,
            "guesses": 200,
            "right": 120,
            "at_least": "0.1579",
            "without_noise": "4.1664",
            "confidence": "0.95",
            "finding": "within-claim",
            "worker": digest("worker"),
            **changes,
        }

    def evaluation_body(self, round_, attempt=1, mechanism="gaussian"):
        model = {"model": digest(f"candidate {round_}"), "mechanism": mechanism}
        return {**self.at(round_, attempt), **model}

    def contribution_body(self, site, round_, attempt=1, base="m0", update=None):
        return {
            **self.at(round_, attempt),
            "base": digest(base),
            "update": digest(update or f"update of {site} {round_} {attempt}"),
            "size": 4096,
            "steps": 5,
            "loader": "poisson",
            "unit": "patient",
            "epsilon": "1.0000",
            "worker": digest("worker"),
            "declared_patients": 120,
        }

    def contribute(self, site, round_, attempt=1, **more):
        body = self.contribution_body(site, round_, attempt, **more)
        return self.agent(site, "contribution-made", body)

    def close_body(self, round_, attempt=1, sites_in=("amc", "ucl"), out=None, models="m0 m1"):
        before, after = models.split()
        return {
            **self.at(round_, attempt),
            "model_in": digest(before),
            "model_out": digest(after),
            "state_in": "",
            "state_out": "",
            "sites_in": list(sites_in),
            "sites_out": out or {},
        }

    def close(self, round_, attempt=1, **more):
        return self.coordinator("round-closed", self.close_body(round_, attempt, **more))

    def abandon(self, round_, attempt=1, reason="deadline", sites=("amc", "ucl"), **why):
        out = dict.fromkeys(sites, "late")
        body = {**self.at(round_, attempt), "reason": reason, "sites_in": [], "sites_out": out}
        body |= why
        return self.coordinator("round-abandoned", body)

    # --- releases ----------------------------------------------------------------------

    def release_body(self, name="v1", model="m1", agreement="first"):
        return {"agreement": digest(agreement), "release": name, "model": digest(model)}

    def publish(self, name="v1", round_=1, attempt=1, model="m1", **changes):
        body = {
            **self.at(round_, attempt),
            **self.release_body(name, model),
            "card": digest("the card"),
            "rounds": [1],
            "sites": ["amc", "ucl"],
        }
        return self.operator("release-published", body | changes)

    def give(self, name="v1", recipient="a registry", **changes):
        told = (disclosure("recipient", recipient),)
        return self.operator("release-given", self.release_body(name) | changes, told=told)

    def recall(self, name="v1", **changes):
        return self.operator("release-recalled", self.release_body(name) | changes)

    def settle_body(self, decision, name="v1", site="amc"):
        return {**self.release_body(name), "site": site, "decision": decision}

    def settle(self, decision, name="v1", site="amc", ground="in use at two hospitals"):
        told = (disclosure("reason", ground),) if ground else ()
        return self.operator(
            "release-settled", self.settle_body(decision, name, site), told=told
        )

    def fetch(self, site, name="v1", **changes):
        return self.agent(site, "release-fetched", self.release_body(name) | changes)

    # --- all at once -------------------------------------------------------------------

    def gather(self):
        """Found the log and enrol an operator and two sites."""
        self.found()
        self.enrol("operator", "ops")
        self.enrol_site("amc")
        self.enrol_site("ucl")
        return self

    def agree(self, agreement="first", **more):
        """Propose an agreement, have both sites consent, and bring it into force."""
        self.propose(agreement, **more)
        self.consent("amc", agreement, **more)
        self.consent("ucl", agreement, **more)
        self.moved("in-force", agreement, "amc", "ucl", **more)
        return self


@pytest.fixture(scope="session")
def authorities():
    return Authorities("heart")


@pytest.fixture(scope="session")
def first_issuing(authorities):
    return authorities.issue()


def pytest_generate_tests(metafunc):
    """Ask every rule of the log on both engines, but for what is marked as one engine's."""
    if "engine" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()} & set(ENGINES)
        chosen = [pytest.param(name, marks=ENGINES[name]) for name in marks or ENGINES]
        metafunc.parametrize("engine", chosen, indirect=True)


@pytest.fixture
def engine(request, tmp_path):
    """An empty log on the engine that the test is asked for."""
    if request.param == "sqlite":
        engine = store.open_engine(f"sqlite:///{tmp_path}/ledger.db")
    else:
        engine = store.open_engine(request.getfixturevalue("postgresql"))
    store.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def new(authorities, first_issuing, engine):
    """A federation with an empty log; the transaction is the test's, and ends undone."""
    with engine.connect() as connection:
        yield Federation(authorities, *first_issuing, connection)


@pytest.fixture
def federation(new):
    """A federation that was founded, with an operator and the sites amc and ucl."""
    return new.gather()


@pytest.fixture
def agreed(federation):
    """A federation whose first agreement is in force with the consent of both sites."""
    return federation.agree()


@pytest.fixture
def refuses(federation):
    """Assert that something is refused by a rule and leaves every table as it was."""

    def check(rule, act, *args, **more):
        before = content(federation.connection)
        with pytest.raises((Refused, PeerFault)) as refused:
            act(*args, **more)
        assert refused.value.rule == rule
        assert content(federation.connection) == before

    return check
