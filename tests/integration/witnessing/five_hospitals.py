"""Five hospitals with keys, stores and agents of their own, enrolled with one authority."""

from __future__ import annotations

from datetime import UTC, datetime

import yaml
from hospital import (
    FEDERATION,
    SECRET,
    SETTINGS,
    Clock,
    Hospital,
    authority_vkey,
    changed,
    officer_of,
    patients,
)

from governance.identity import folder
from governance.identity.authority import Authority, create
from governance.identity.enrolment import Token
from governance.settings import load_site
from protos.words import Enrolled
from site_agent import drafts, joining, office

NAMES = ("amc", "charite", "gemelli", "karolinska", "ucl")


def found(place):
    """Make an authority and enrol all five; done once, since it takes a while."""
    now = datetime.now(UTC)
    create(
        place / "coordinator",
        federation=FEDERATION,
        host="localhost",
        passphrase=b"x",
        now=now,
    )
    authority = Authority.load(place / "coordinator")
    for name in NAMES:
        enrol(place, authority, name, now)
    return place


def enrol(place, authority, name, now):
    site = place / name
    (site / "keys").mkdir(parents=True)
    settings = changed(SETTINGS, {"name": name})
    (site / "site.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (site / "patients.csv").write_text(patients())
    officer_of(name).save(site / "keys" / "officer.pem", passphrase=SECRET)
    token = Token(
        federation=FEDERATION,
        role="site",
        name=name,
        root=authority.root_fingerprint,
        enrolment="localhost:2",
        coordinator="localhost:1",
        secret=bytes(32),
    )
    own = site / "enrolled" / FEDERATION
    request = folder.prepare(own, token, officers=[officer_of(name)], now=now)
    joining._journal(load_site(site / "site.yaml"), FEDERATION, request)
    issued = authority.issue(request.csr, name=name, role="site", now=now)
    done = Enrolled(issued.pem_chain, authority.root_pem, authority_vkey(authority))
    folder.finish(own, done, now=now)
    (site / "enrolled.json").write_bytes(request.statement)


class OneOfFive(Hospital):
    """One of the five, by its name and by a clock that all share."""

    def __init__(self, place, name, clock):
        self.name, self.place = name, place
        self.folder = place / name
        self.file = self.folder / "site.yaml"
        self.clock = clock
        self.open()

    @property
    def enrolled(self):
        return (self.folder / "enrolled.json").read_bytes()

    def deliver(self, draft):
        return self.store.now(lambda c: office.deliver(c, self.m, draft))

    def consent(self, document, **told):
        """Sign with this hospital's own officer."""
        from site_agent import desk

        reviewed = desk.reviewed(self.m, document)
        until = document.agreement.valid.until
        answer = office.Answer("A. Weber", "CMO", until, 60, {})
        draft = self.store.look(
            lambda c: office.consent_draft(c, self.m, document, reviewed, answer)
        )
        return self.deliver(drafts.sign(draft, officer_of(self.name)))


def clock_of_today():
    clock = Clock()
    clock.time = datetime.now(UTC)
    return clock
