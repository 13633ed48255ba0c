"""Certificates that end, their authority's roll-over, and a site that is shut out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from programs import COORDINATOR, done, refused
from standing import edited

from coordinator.foundation import Foundation
from governance.identity import issuing
from governance.identity.authority import Authority
from governance.identity.certificate import fingerprint, make_csr, read_chain, to_pem
from governance.identity.folder import Identity
from governance.identity.key_files import replace_public
from governance.identity.keys import load_private_key
from governance.statements import timestamp

NAMES = ("eastfield", "hillcrest")
LEFT_S = 25


def identity(fed, name):
    return Identity.load(next((fed.place / "sites" / name).rglob("tls.pem")).parent)


def issued_long_ago():
    """When a certificate was issued that ends in a moment."""
    return datetime.now(UTC) - issuing.PEER_TIME + timedelta(seconds=LEFT_S)


def age(fed, name, *, at=None):
    """Give a site a certificate for its own key that ends in a moment; return its serial."""
    known = identity(fed, name)
    csr = make_csr(load_private_key(known.folder / "tls.key", passphrase=None))
    authority = Authority.load(fed.coordinator)
    issued = authority.issue(csr, name=name, role="site", now=at or issued_long_ago())
    replace_public(known.folder / "tls.pem", issued.pem_chain)
    return identity(fed, name).peer.serial


def end(fed, name):
    """Give a site a certificate that ended a month ago; return its serial."""
    long_ago = datetime.now(UTC) - issuing.PEER_TIME - timedelta(days=30)
    serial = age(fed, name, at=long_ago)
    leaf = read_chain(identity(fed, name).tls_chain_pem)[0]
    body = {
        "name": name,
        "role": "site",
        "serial": serial,
        "fingerprint": fingerprint(leaf),
        "not_after": timestamp(leaf.not_valid_after_utc),
    }
    base = Foundation.open(fed.coordinator)
    now = datetime.now(UTC)
    base.store.write_now(lambda c: base.chronicle.certify(c, body, now=now))
    base.close_now()
    return serial


def age_coordinator(fed):
    """Give the coordinator a certificate that ends in a moment; return its serial."""
    authority = Authority.load(fed.coordinator)
    path = fed.coordinator / "keys" / "coordinator.pem"
    leaf = read_chain(path.read_bytes())[0]
    fresh = issuing.coordinator(
        leaf.public_key(),
        host=issuing.Host.of(authority.federation, leaf),
        issuer=authority.issuing,
        key=authority._private,
        now=issued_long_ago(),
    )
    replace_public(path, to_pem([fresh, authority.issuing, authority.root]))
    return fresh.serial_number


def shown(fed):
    """Return the coordinator's present certificate."""
    return read_chain((fed.coordinator / "keys" / "coordinator.pem").read_bytes())[0]


def ended(moment):
    return lambda: datetime.now(UTC) > moment


def comes_back(fed, name):
    """Hold that a site's session is opened again after the coordinator was started again."""
    fed.stop("coordinator")
    fed.serve()
    fed.running[name].until("session-open")


def test_certificates_renew_themselves_over_the_session_before_they_end(fed):
    former = age(fed, "eastfield")
    end = identity(fed, "eastfield").peer.not_after
    own = age_coordinator(fed)
    fed.serve()
    fed.until(lambda: shown(fed).serial_number != own, why="for the coordinator's own")
    (agent,) = fed.run("eastfield")
    agent.until("certificate-renewed")
    agent.until("session-open")
    assert identity(fed, "eastfield").peer.serial != former
    fed.until(ended(end), why="for the former certificate to end")
    comes_back(fed, "eastfield")
    assert ("certificate-issued", "authority") in [row[1:] for row in fed.entries()]
    fed.verified()


def test_issuing_authority_rolls_over_under_agents_that_run_on(fed):
    fed.serve()
    agents = dict(zip(NAMES, fed.run(*NAMES), strict=True))
    key = Authority.load(fed.coordinator).issuing_key.key_id
    fed.stop("coordinator")
    done(COORDINATOR, "rotate-key", "issuing", "--folder", fed.coordinator, *fed.secret)
    age_coordinator(fed)  # so that it is due, and renewed under the new authority
    fed.serve()
    for agent in agents.values():  # their certificates are the former authority's still
        agent.until("session-open")
    assert Authority.load(fed.coordinator).issuing_key.key_id != key
    new = Authority.load(fed.coordinator).issuing
    fed.until(lambda: shown(fed).issuer == new.subject, why="for the coordinator's own")
    shown(fed).verify_directly_issued_by(new)
    fed.stop("eastfield")
    former = age(fed, "eastfield")
    (agent,) = fed.run("eastfield")
    agent.until("certificate-renewed")
    agent.until("session-open")
    renewed = read_chain(identity(fed, "eastfield").tls_chain_pem)[0]
    assert identity(fed, "eastfield").peer.serial != former
    renewed.verify_directly_issued_by(new)
    fed.verified()


@pytest.mark.parametrize("restarted", [False, True])
def test_agent_of_a_site_that_was_shut_out_stops_and_says_why(fed, restarted):
    fed.serve()
    agent, other = fed.run(*NAMES)
    if restarted:
        fed.stop("eastfield")
    fed.operator("revoke", "eastfield", "--reason", "keys stolen", "--yes")
    if restarted:
        agent = fed.start("eastfield")
    said = agent.ended()
    del fed.running["eastfield"]
    refused(said, "lets this site in no more", "enrol anew", "revoked")
    assert other.alive


def renew(fed, name, *argv):
    return fed.site(name, "renew", *argv, *fed.secret)


def test_a_site_that_was_off_for_months_comes_back_with_its_officers_key(fed):
    former = end(fed, "eastfield")
    fed.serve()
    agent = fed.start("eastfield")
    token = fed.token("site", "eastfield", "--renew")
    said = renew(fed, "eastfield", token)
    assert said.code == 0, said
    agent.until("certificate-renewed")
    agent.until("session-open")
    assert identity(fed, "eastfield").peer.serial != former
    refused(renew(fed, "eastfield", token), "holds until", "[certificate-holds]")
    assert ("certificate-issued", "authority") in [row[1:] for row in fed.entries()]
    assert "renewal-request" in fed.site("eastfield", "sent", "--format", "csv").out
    fed.verified()


def test_by_file_too_and_with_the_agent_not_running(fed, tmp_path):
    end(fed, "eastfield")
    edited(fed.coordinator / "coordinator.yaml", lambda said: said.pop("enrolment"))
    fed.serve()
    asked, given = tmp_path / "request.json", tmp_path / "response.json"
    token = fed.token("site", "eastfield", "--renew")
    refused(renew(fed, "eastfield", token), "enrols by file", "--request")
    assert renew(fed, "eastfield", token, "--request", asked).code == 0
    assert asked.stat().st_mode & 0o777 == 0o600
    files = ("--request", asked, "--response", given)
    refused(fed.operator("invite", "site", "lakeside", "--renew", *files), "of site eastfield")
    carried = fed.operator("invite", "site", "eastfield", "--renew", *files)
    assert carried.code == 0, carried
    taken = fed.site("eastfield", "renew", "--response", given)
    assert (taken.code, "holds until" in taken.err) == (0, True), taken
    fed.run("eastfield")
    fed.verified()


def test_nobody_comes_back_who_was_shut_out_meanwhile(fed):
    end(fed, "eastfield")
    fed.serve()
    token = fed.token("site", "eastfield", "--renew")
    fed.operator("revoke", "eastfield", "--reason", "keys stolen", "--yes")
    refused(renew(fed, "eastfield", token), "enrolled no more", "[not-enrolled]")
    refused(fed.operator("invite", "site", "eastfield", "--renew"), "[not-enrolled]")
