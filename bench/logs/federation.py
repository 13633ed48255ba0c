"""A federation of five hospitals whose keys are all at hand, and what they say in a month."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from governance import statements
from governance.identity import certificate, issuing
from governance.identity.keys import AuthorityKey, SigningKey
from governance.ledger import store
from governance.ledger.store import Head
from governance.statements import Chain, Log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from governance.identity.keys import Signer
    from governance.statements import Statement
    from protos.words import Disclosure, KeyId

SITES = ("amc", "charite", "gemelli", "karolinska", "ucl")
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PER_ROUND = 3 * len(SITES) + 3
"""Entries of one round: opened, reserved, contributed and evaluated, closed, deleted."""


def digest(text: str) -> str:
    """Return a digest of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Federation:
    """Who speaks, and where each key's chain stands; a second passes with each statement."""

    name: str = "bench"
    now: datetime = START
    _keys: dict[str, SigningKey] = field(default_factory=dict)
    _chains: dict[KeyId, Chain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root_key = certificate.make_tls_key()
        self.root = issuing.root_authority(root_key, federation=self.name, now=START)
        key = certificate.make_tls_key()
        self.issuing = issuing.issuing_authority(
            key.public_key(),
            federation=self.name,
            issuer=self.root,
            key=root_key,
            now=START,
        )
        self.authority = AuthorityKey(key)
        self.log = Log.of(self.name, certificate.fingerprint(self.root))

    def key(self, name: str) -> SigningKey:
        """Return somebody's key, the same each time."""
        if name not in self._keys:
            seed = hashlib.sha256(f"{self.name} {name}".encode()).digest()
            self._keys[name] = SigningKey.from_seed(seed)
        return self._keys[name]

    def say(
        self,
        kind: str,
        body: Mapping[str, Any],
        actor: str,
        *signers: Signer,
        told: Sequence[Disclosure] = (),
    ) -> Statement:
        """Return a signed statement that continues its key's chain."""
        self.now += timedelta(seconds=1)
        first = signers[0]
        payload = statements.compose(
            kind,
            body,
            actor=actor,
            key=first.key_id,
            chain=self._chains.get(first.key_id, Chain.START),
            log=self.log,
            at=self.now,
            disclosures=told,
        )
        statement = statements.read(statements.sign(payload, signers))
        self._chains[first.key_id] = statement.chain
        return statement

    def agent(self, site: str, kind: str, body: Mapping[str, Any]) -> Statement:
        """Return what a hospital's agent says."""
        return self.say(kind, body, f"site/{site}", self.key(f"{site} agent"))

    def coordinator(self, kind: str, body: Mapping[str, Any]) -> Statement:
        """Return what the coordinator says."""
        return self.say(kind, body, "coordinator", self.key("ledger"))

    def start(self, site: str = SITES[0]) -> Statement:
        """Return the lightest statement there is: a program started."""
        body = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
        return self.agent(site, "software-started", body)

    # --- the first day -----------------------------------------------------------------

    def founded(self) -> Iterator[tuple[Statement, Sequence[Disclosure]]]:
        """Yield the first entries, until an agreement is in force, with their disclosures."""
        body = self._newcomer("coordinator", "coordinator", "ledger") | {
            "issuing": certificate.to_pem([self.issuing]).decode(),
            "origin_root": certificate.to_pem([self.root]).decode(),
        }
        yield self.say("enrolled", body, "coordinator", self.key("ledger"), self.authority), ()
        body = self._newcomer("operator", "ops", "ops")
        yield self.say("enrolled", body, "operator/ops", self.key("ops"), self.authority), ()
        for site in SITES:
            agent, officer = self.key(f"{site} agent"), self.key(f"{site} officer")
            body = self._newcomer("site", site, f"{site} agent")
            body |= {"officers": [officer.key_id], "needed": 1}
            yield self.say("enrolled", body, f"site/{site}", agent, officer, self.authority), ()
        agreed = {"agreement": digest("first"), "material": digest("first")}
        proposed = {**agreed, "changes": {}}
        yield self.say("agreement-proposed", proposed, "operator/ops", self.key("ops")), ()
        for site in SITES:
            yield self._consent(site, agreed)
        moved = {**agreed, "rests_on": [], "sites": list(SITES)}
        yield self.coordinator("agreement-in-force", moved), ()

    def _newcomer(self, role: str, name: str, key: str) -> dict[str, Any]:
        return {
            "name": name,
            "role": role,
            "agent": self.key(key).key_id,
            "officers": [],
            "needed": 0,
            "tls": digest(f"{name} tls"),
        }

    def _consent(
        self, site: str, agreed: Mapping[str, str]
    ) -> tuple[Statement, Sequence[Disclosure]]:
        told = tuple(
            statements.disclose(label, value, salt=hashlib.sha256(label.encode()).digest())
            for label, value in (("officer", "A. Person"), ("role", "director"))
        )
        body = {
            **agreed,
            "review": digest("shown"),
            "purposes": ["DUO:0000006"],
            "basis": {"jurisdiction": "DE", "irb": "1", "permit": "", "dpa": ""},
            "until": statements.timestamp(START + timedelta(days=3650)),
            "declared_patients": 120,
            "cap": "1000000",
            "delta": "0.00001",
            "stops_in_round": 0,
            "cohort": "infarction",
        }
        officer = self.key(f"{site} officer")
        return self.say("consent-given", body, f"site/{site}", officer, told=told), told

    # --- a round -----------------------------------------------------------------------

    def round(self, number: int) -> Iterator[Statement]:
        """Yield the statements of a round that all hospitals take part in."""
        at = {"agreement": digest("first"), "round": number, "attempt": 1}
        model, made = digest(f"m{number - 1}"), digest(f"m{number}")
        deadline = statements.timestamp(self.now + timedelta(hours=1))
        opened = {**at, "model": model, "state": "", "sites": list(SITES), "deadline": deadline}
        yield self.coordinator("round-opened", opened)
        for site in SITES:
            yield self.agent(site, "budget-reserved", {**at, **self._reservation(number)})
        for site in SITES:
            yield self.agent(
                site, "contribution-made", {**at, **_contribution(site, model, at)}
            )
        for site in SITES:
            said = {**at, "model": made, "mechanism": "exact"}
            yield self.agent(site, "evaluation-made", said)
        states = {"state_in": "", "state_out": "", "sites_in": list(SITES), "sites_out": {}}
        yield self.coordinator(
            "round-closed", {**at, "model_in": model, "model_out": made, **states}
        )
        yield self.coordinator("updates-deleted", {**at, "updates": []})

    def _reservation(self, number: int) -> dict[str, Any]:
        return {
            "task": f"{self.name}/{number}/1/train",
            "cohort": "infarction",
            "sampling_rate": "0.01",
            "noise_multiplier": "3",
            "clip": "1",
            "expected_batch": "12",
            "steps": 5,
            "delta": "0.00001",
            "loader": "poisson",
            "unit": "patient",
            "epsilon_total": "999999",
        }


def _contribution(site: str, model: str, at: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "base": model,
        "update": digest(f"update of {site} {at['round']}"),
        "size": 4096,
        "steps": 5,
        "loader": "poisson",
        "unit": "patient",
        "epsilon": "999999",
        "worker": digest("worker"),
        "declared_patients": 120,
    }


def found(c: Connection, federation: Federation) -> Head:
    """Write the first day into an empty log."""
    for statement, told in federation.founded():
        store.append(c, statement, received_at=federation.now, disclosures=told)
    return store.head(c)


def rounds(c: Connection, federation: Federation, numbers: range) -> None:
    """Write rounds into a log on which an agreement is in force."""
    for number in numbers:
        for statement in federation.round(number):
            store.append(c, statement, received_at=federation.now)
