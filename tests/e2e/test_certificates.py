"""Certificates that end, their authority's roll-over, and a site that is shut out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from programs import COORDINATOR, done, refused

from governance.identity import issuing
from governance.identity.authority import Authority
from governance.identity.certificate import make_csr, read_chain, to_pem
from governance.identity.folder import Identity
from governance.identity.key_files import replace_public
from governance.identity.keys import load_private_key

NAMES = ("eastfield", "hillcrest")
LEFT_S = 25


def identity(fed, name):
    return Identity.load(next((fed.place / "sites" / name).rglob("tls.pem")).parent)


def issued_long_ago():
    """When a certificate was issued that ends in a moment."""
    return datetime.now(UTC) - issuing.PEER_TIME + timedelta(seconds=LEFT_S)


def age(fed, name):
    """Give a site a certificate for its own key that ends in a moment; return its serial."""
    known = identity(fed, name)
    csr = make_csr(load_private_key(known.folder / "tls.key", passphrase=None))
    authority = Authority.load(fed.coordinator)
    issued = authority.issue(csr, name=name, role="site", now=issued_long_ago())
    replace_public(known.folder / "tls.pem", issued.pem_chain)
    return identity(fed, name).peer.serial


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
