"""Certificates and keys that follow one another, and who must have signed for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from governance import dsse
from governance.identity import folder
from governance.identity.certificate import make_csr, make_tls_key, peer_of, read_chain
from governance.identity.enrolment import Token
from governance.identity.folder import Identity
from governance.identity.keys import SigningKey
from governance.identity.renewal import PROOF_TYPE, check_request, make_request
from governance.identity.rotation import check_rotation, rotate
from governance.statements import Chain, Log, compose, countersign, read, sign
from protos.errors import PeerFault, Refused
from protos.words import CertificateRequest, Digest, Enrolled

NOW = datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
DUE = NOW + timedelta(days=60)
ENDED = NOW + timedelta(days=91)
OFFICER = SigningKey.from_seed(bytes(range(32)))
AGENT = SigningKey.from_seed(b"a" * 32)
NEXT = SigningKey.from_seed(b"n" * 32)
STRANGER = SigningKey.from_seed(b"s" * 32)
LOG = Log.of("heart", Digest("ab" * 32))


@pytest.fixture
def identity(fed, tmp_path):
    token = Token("heart", "site", "charite", fed.root_fingerprint, "h:1", "h:2", bytes(32))
    request = folder.prepare(tmp_path / "id", token, officers=[OFFICER], now=NOW)
    issued = fed.issue(request.csr, name="charite", role="site", now=NOW)
    key = "concilium/heart+00000000+AAAA"
    return folder.finish(
        tmp_path / "id", Enrolled(issued.pem_chain, fed.root_pem, key), now=NOW
    )


def asked(identity, *extra):
    return folder.begin_renewal(identity, [identity.signing_key(), *extra])


def check(request, identity, *, now=DUE, log=None, agent=None):
    keys = (agent or identity.signing_key().key_id, [OFFICER.key_id])
    check_request(request, peer=identity.peer, log=log or identity.log, keys=keys, now=now)


def rule_of(call, *args, **kwargs):
    with pytest.raises((Refused, PeerFault)) as refusal:
        call(*args, **kwargs)
    return refusal.value.rule


def test_a_certificate_is_renewed_from_day_60_with_the_agents_key(fed, identity):
    request = asked(identity)
    check(request, identity)
    issued = fed.renew(request.csr, identity.peer, now=DUE)
    renewed = folder.finish_renewal(identity, issued.pem_chain, now=DUE)
    assert renewed.peer.serial == issued.serial != identity.peer.serial
    assert renewed.peer.not_after == DUE + timedelta(days=90)
    assert renewed.tls_key_pem != identity.tls_key_pem
    assert not [p for p in identity.folder.iterdir() if "next" in p.name]


def test_a_renewal_is_refused_before_day_60(identity):
    assert rule_of(check, asked(identity), identity, now=NOW + timedelta(days=59)) == (
        "renewal-early"
    )


def test_the_tls_key_alone_renews_nothing(identity):
    request = folder.begin_renewal(identity, [STRANGER])
    assert rule_of(check, request, identity) == "bad-signature"


def test_a_proof_for_another_request_name_or_federation_is_refused(identity):
    request = asked(identity)
    other = CertificateRequest(make_csr(make_tls_key()), request.proof)
    assert rule_of(check, other, identity) == "bad-proof"
    csr = request.csr
    for actor, log in (("site/oslo", identity.log), (identity.actor, LOG)):
        wrong = make_request(csr, actor=actor, log=log, signers=[identity.signing_key()])
        assert rule_of(check, wrong, identity) == "bad-proof"


def test_a_statement_is_no_proof_and_a_proof_no_statement(identity):
    request = asked(identity)
    with pytest.raises(PeerFault):
        read(request.proof)
    payload, _ = dsse.unseal(PROOF_TYPE, request.proof)
    statement = sign(payload, [identity.signing_key()])
    assert rule_of(check, CertificateRequest(request.csr, statement), identity)


def test_after_the_end_an_officer_signs_too(identity):
    assert rule_of(check, asked(identity), identity, now=ENDED) == "officer-needed"
    check(asked(identity, OFFICER), identity, now=ENDED)
    forged = asked(identity, STRANGER)
    assert rule_of(check, forged, identity, now=ENDED) == "officer-needed"


def test_another_sites_or_keys_certificate_is_not_taken(fed, identity):
    request = asked(identity)
    other = fed.issue(request.csr, name="oslo", role="site", now=DUE)
    assert rule_of(folder.finish_renewal, identity, other.pem_chain, now=DUE) == "wrong-name"
    stolen = fed.issue(make_csr(make_tls_key()), name="charite", role="site", now=DUE)
    assert rule_of(folder.finish_renewal, identity, stolen.pem_chain, now=DUE) == "wrong-key"
    assert Identity.load(identity.folder) == identity


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_a_renewal_broken_off_anywhere_is_finished_at_the_next_start(fed, identity, step):
    request = asked(identity)
    issued = fed.renew(request.csr, identity.peer, now=DUE)
    home = identity.folder
    (home / "tls.next.pem").write_bytes(issued.pem_chain)
    if step != "before":
        (home / "tls.next.key").rename(home / "tls.key")
    if step == "after":
        (home / "tls.next.pem").rename(home / "tls.pem")
    loaded = Identity.load(home)
    assert loaded.peer.serial == issued.serial
    folder._check_key(home / "tls.key", peer_of(read_chain(loaded.tls_chain_pem)[0]))


def test_a_request_asked_twice_is_for_the_same_key(identity):
    first, second = asked(identity), asked(identity)
    assert peer_key(first.csr) == peer_key(second.csr)


def peer_key(csr):
    from governance.identity.certificate import csr_key

    return csr_key(csr)


# Rotation.


def rotated(usage="agent", *, keys=(AGENT, NEXT), officer=OFFICER):
    envelope = rotate(
        usage,
        site="charite",
        keys=keys,
        chain=Chain(7, Digest("cd" * 32)),
        log=LOG,
        at=NOW,
    )
    return read(envelope if officer is None else countersign(envelope, officer))


def test_an_agent_key_is_rotated_by_itself_the_new_one_and_an_officer():
    statement = rotated()
    assert check_rotation(statement, officers=[OFFICER.key_id]) == (AGENT.key_id, NEXT.key_id)
    assert (statement.kind, statement.counter) == ("key-rotated", 8)


def test_an_agent_key_does_not_name_its_own_successor():
    for officer in (None, STRANGER):
        statement = rotated(officer=officer)
        assert rule_of(check_rotation, statement, officers=[OFFICER.key_id]) == (
            "officer-needed"
        )


def test_as_many_officers_sign_as_are_needed():
    second = SigningKey.from_seed(b"2" * 32)
    officers = [OFFICER.key_id, second.key_id]
    statement = rotated()
    assert rule_of(check_rotation, statement, officers=officers, needed=2) == "officer-needed"
    both = read(countersign(statement.envelope, second))
    assert check_rotation(both, officers=officers, needed=2)


def test_an_officer_key_is_rotated_by_itself_and_the_new_one():
    statement = rotated("officer", keys=(OFFICER, NEXT), officer=None)
    assert check_rotation(statement, officers=[OFFICER.key_id])
    agents = rotated("officer", keys=(AGENT, NEXT))
    assert rule_of(check_rotation, agents, officers=[OFFICER.key_id]) == "wrong-key"


def test_a_new_key_that_did_not_sign_is_refused():
    body = {
        "name": "charite",
        "usage": "agent",
        "old": AGENT.key_id,
        "new": NEXT.key_id,
    }
    payload = compose(
        "key-rotated",
        body,
        actor="site/charite",
        key=AGENT.key_id,
        chain=Chain.START,
        log=LOG,
        at=NOW,
    )
    statement = read(sign(payload, [AGENT, OFFICER]))
    assert rule_of(check_rotation, statement, officers=[OFFICER.key_id]) == "bad-signature"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "oslo"},
        {"usage": "tls"},
        {"old": NEXT.key_id},
        {"new": AGENT.key_id},
        {"new": "x"},
        {"new": 1},
        {"more": "x"},
    ],
    ids=str,
)
def test_a_malformed_rotation_is_a_peers_fault(change):
    body = {"name": "charite", "usage": "agent", "old": AGENT.key_id, "new": NEXT.key_id}
    payload = compose(
        "key-rotated",
        {**body, **change},
        actor="site/charite",
        key=AGENT.key_id,
        chain=Chain.START,
        log=LOG,
        at=NOW,
    )
    statement = read(sign(payload, [AGENT, NEXT, OFFICER]))
    with pytest.raises(PeerFault):
        check_rotation(statement, officers=[OFFICER.key_id])


def test_a_signing_key_is_changed_over_after_the_log_has_it(identity):
    old = identity.signing_key()
    new = folder.begin_rotation(identity)
    assert folder.begin_rotation(identity).key_id == new.key_id != old.key_id
    assert identity.signing_key().key_id == old.key_id
    assert folder.finish_rotation(identity).key_id == new.key_id
    assert identity.signing_key().key_id == new.key_id
