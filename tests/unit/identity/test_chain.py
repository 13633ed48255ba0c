"""A chain made up, out of its time, revoked or misnamed speaks for nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from authorities import NOW, federation, issued, leaf
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from governance.identity.certificate import (
    authenticate,
    check_chain,
    fingerprint,
    make_csr,
    make_tls_key,
    peer_name,
    peer_of,
    read_chain,
    to_pem,
)
from governance.identity.revocation import Revocations
from protos.errors import PeerFault, Refused
from protos.words import Digest


def refused(chain, fed, error, *, now=NOW, root=None):
    with pytest.raises(error) as refusal:
        check_chain(chain, root=root or fed.root_fingerprint, now=now)
    return refusal.value.rule


def test_another_root_is_refused_before_anything_else_is_looked_at(fed, tmp_path):
    other = federation(tmp_path / "other")
    chain = read_chain(other.coordinator_tls()[1])
    assert refused(chain, fed, Refused) == "wrong-root"


def test_a_chain_made_up_around_the_true_root_is_refused(fed, tmp_path):
    other = federation(tmp_path / "other")
    own, issuing, _ = read_chain(other.coordinator_tls()[1])
    assert refused((own, issuing, fed.root), fed, PeerFault) == "bad-chain"
    assert refused((own, fed.issuing, fed.root), fed, PeerFault) == "bad-chain"


def test_a_member_is_no_authority(fed):
    key = make_tls_key()
    member = leaf(fed.issue(make_csr(key), name="charite", role="site", now=NOW))
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(member.subject)
        .public_key(make_tls_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    assert refused((forged, member, fed.root), fed, PeerFault) == "bad-chain"
    assert refused((forged, member, fed.issuing), fed, PeerFault, root=fingerprint(fed.issuing))


def test_an_authority_is_no_member(fed):
    assert refused((fed.issuing, fed.root, fed.root), fed, PeerFault) == "bad-chain"


@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_a_chain_has_three(fed, length):
    chain = (*read_chain(fed.coordinator_tls()[1]), fed.root)[:length]
    assert refused(chain, fed, PeerFault) == "bad-chain"


@pytest.mark.parametrize(
    ("days", "rule"), [(-1, "certificate-not-yet-valid"), (91, "certificate-expired")]
)
def test_a_chain_out_of_its_time_is_refused(fed, days, rule):
    chain = (*read_chain(issued(fed).pem_chain), fed.root)
    assert refused(chain, fed, Refused, now=NOW + timedelta(days=days)) == rule


def test_a_certificate_that_outlives_its_issuer_is_refused(fed):
    key = fed._private
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(fed.issuing.subject)
        .public_key(make_tls_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=500))
        .sign(key, hashes.SHA256())
    )
    assert refused((draft, fed.issuing, fed.root), fed, PeerFault) == "bad-chain"


# Who calls.


def caller(certificate, *, now=NOW, revocations=None, name="heart"):
    return authenticate(
        certificate.pem_chain,
        federation=name,
        revocations=revocations or Revocations(),
        now=now,
    )


def rule_of(*args, **kwargs):
    with pytest.raises(Refused) as refusal:
        caller(*args, **kwargs)
    return refusal.value.rule


def test_a_caller_is_who_its_certificate_says(fed):
    assert caller(issued(fed)).actor == "site/charite"


def test_a_caller_of_another_federation_is_refused(fed):
    assert rule_of(issued(fed), name="lung") == "wrong-federation"


def test_a_caller_is_refused_after_its_certificate_ended_although_connected(fed):
    assert rule_of(issued(fed), now=NOW + timedelta(days=91)) == "certificate-expired"
    assert rule_of(issued(fed), now=NOW - timedelta(hours=1)) == "certificate-not-yet-valid"
    assert caller(issued(fed), now=NOW - timedelta(minutes=4))


def test_the_coordinators_certificate_calls_nobody(fed):
    assert rule_of(fed.coordinator_certificate()) == "wrong-use"


def test_a_revoked_name_is_refused_whatever_certificate_it_shows(fed):
    first, second, other = issued(fed), issued(fed), issued(fed, name="oslo")
    revoked = Revocations().revoke("charite", [first.serial], [])
    assert rule_of(first, revocations=revoked) == "revoked"
    assert rule_of(second, revocations=revoked) == "revoked"
    assert caller(other, revocations=revoked)


def test_a_revoked_serial_and_a_revoked_key_are_refused_by_themselves(fed):
    certificate = issued(fed)
    peer = peer_name(certificate.pem_chain)
    assert rule_of(certificate, revocations=Revocations(serials=frozenset({peer.serial})))
    assert rule_of(certificate, revocations=Revocations(keys=frozenset({peer.key})))


def test_a_revoked_signing_key_is_refused():
    revoked = Revocations().revoke("charite", [], [Digest("k")])
    revoked.check_key(Digest("other"))
    with pytest.raises(Refused):
        revoked.check_key(Digest("k"))


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"x" * 20_000])
def test_what_is_no_certificate_is_nobodys(pem):
    with pytest.raises(Refused) as refusal:
        authenticate(pem, federation="heart", revocations=Revocations(), now=NOW)
    assert refusal.value.rule == "bad-certificate"


def test_an_authority_certificate_is_nobodys(fed):
    with pytest.raises(Refused):
        authenticate(
            to_pem([fed.issuing]), federation="heart", revocations=Revocations(), now=NOW
        )


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["concilium://heart/site/a", "concilium://heart/site/b"],
        ["concilium://heart/site/a/b"],
        ["concilium://heart/site/"],
        ["concilium://heart/coordinator/x"],
        ["concilium://heart/authority"],
        ["concilium://Heart/site/a"],
        ["concilium:///site/a"],
        ["https://heart/site/a"],
    ],
)
def test_a_name_that_is_not_exactly_one_of_ours_is_nobodys(fed, uris):
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(fed.issuing.subject)
        .public_key(make_tls_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("x.org"),
                    *(x509.UniformResourceIdentifier(uri) for uri in uris),
                ]
            ),
            critical=False,
        )
        .sign(fed._private, hashes.SHA256())
    )
    with pytest.raises(PeerFault):
        peer_of(draft)
