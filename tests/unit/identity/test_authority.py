"""What the authority issues, and that nobody else can have a say in it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from authorities import NOW, PASSPHRASE, federation, issued, leaf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from governance.identity.authority import Authority
from governance.identity.certificate import (
    check_chain,
    fingerprint,
    is_for,
    make_csr,
    make_tls_key,
    peer_name,
    read_chain,
    renewal_due,
)
from governance.identity.keys import verify
from protos.errors import PeerFault, Refused


@pytest.fixture
def fed(tmp_path):
    return federation(tmp_path)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def coordinator_leaf(fed):
    return read_chain(fed.coordinator_tls()[1])[0]


def test_a_members_certificate_is_for_clients_has_a_uri_and_no_host(fed):
    certificate = leaf(issued(fed))
    names = extension(certificate, x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("concilium://heart/site/charite")]
    usage = list(extension(certificate, x509.ExtendedKeyUsage).value)
    assert usage == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extension(certificate, x509.BasicConstraints).value.ca
    assert not certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)


@pytest.mark.parametrize("role", ["site", "operator", "auditor"])
def test_a_peer_is_who_its_certificate_says(fed, role):
    certificate = issued(fed, role=role)
    peer = peer_name(certificate.pem_chain)
    assert (peer.federation, peer.role, peer.name) == ("heart", role, "charite")
    assert peer.serial == certificate.serial
    assert peer.actor == f"{role}/charite"
    assert certificate.fingerprint == fingerprint(leaf(certificate))
    assert certificate.body["not_after"] == "2027-02-19T10:46:00.000000Z"


def test_extensions_and_subject_of_a_request_are_ignored(fed):
    key = make_tls_key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fed.example.org")]))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("fed.example.org"),
                    x509.UniformResourceIdentifier("concilium://heart/coordinator"),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    certificate = leaf(fed.issue(request, name="charite", role="site", now=NOW))
    asked_for_nothing = leaf(fed.issue(make_csr(key), name="charite", role="site", now=NOW))
    assert [e.oid for e in certificate.extensions] == [
        e.oid for e in asked_for_nothing.extensions
    ]
    assert list(certificate.extensions) == list(asked_for_nothing.extensions)
    assert certificate.subject == asked_for_nothing.subject


@pytest.mark.parametrize("role", ["coordinator", "authority", "root", ""])
def test_nobody_is_enrolled_as_what_is_no_member(fed, role):
    with pytest.raises(Refused) as refusal:
        issued(fed, role=role)
    assert refusal.value.rule == "bad-role"


@pytest.mark.parametrize("name", ["", "A", "a/b", "a b", "-a", "a-", "x" * 64, "é", "a\n"])
def test_a_name_is_a_label(fed, name):
    with pytest.raises(Refused) as refusal:
        issued(fed, name=name)
    assert refusal.value.rule == "bad-name"


def ed25519_csr():
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(ed25519.Ed25519PrivateKey.generate(), None)


def p384_csr():
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256())


@pytest.mark.parametrize("make", [ed25519_csr, p384_csr])
def test_a_request_for_another_kind_of_key_is_refused(fed, make):
    csr = make().public_bytes(serialization.Encoding.DER)
    with pytest.raises(PeerFault):
        fed.issue(csr, name="charite", role="site", now=NOW)


def test_a_request_without_proof_of_possession_is_refused(fed):
    csr = bytearray(make_csr(make_tls_key()))
    csr[-1] ^= 1
    with pytest.raises(PeerFault):
        fed.issue(bytes(csr), name="charite", role="site", now=NOW)
    for broken in (b"", b"x" * 100, bytes(csr[:-5]), bytes(5000)):
        with pytest.raises(PeerFault):
            fed.issue(broken, name="charite", role="site", now=NOW)


def test_the_coordinators_certificate_has_its_host_and_is_for_servers(fed):
    certificate = coordinator_leaf(fed)
    names = extension(certificate, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fed.example.org"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "concilium://heart/coordinator"
    ]
    assert is_for(certificate, ExtendedKeyUsageOID.SERVER_AUTH)
    assert not is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_machine_goes_by_name_and_by_address(tmp_path, host):
    names = extension(
        coordinator_leaf(federation(tmp_path, host=host)), x509.SubjectAlternativeName
    ).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["fed.example.org:8443", "", "a b", "http://x", "-x.org", "ü"])
def test_a_host_is_a_dns_name_or_an_address(tmp_path, host):
    with pytest.raises(Refused) as refusal:
        federation(tmp_path, host=host)
    assert refusal.value.rule == "bad-host"
    assert not (tmp_path / "keys").exists()


def test_the_chain_is_root_issuing_leaf_and_each_in_its_place(fed):
    chain = read_chain(fed.coordinator_tls()[1])
    peer = check_chain(chain, root=fed.root_fingerprint, now=NOW)
    assert peer.role == "coordinator"
    _, issuing, root = chain
    assert extension(root, x509.BasicConstraints).value.path_length == 1
    assert extension(issuing, x509.BasicConstraints).value.path_length == 0
    assert issuing.not_valid_after_utc == NOW + timedelta(days=400)
    for certificate in chain:
        assert isinstance(certificate.public_key().curve, ec.SECP256R1)


def test_no_certificate_outlives_its_issuer(fed):
    late = NOW + timedelta(days=390)
    assert leaf(issued(fed, now=late)).not_valid_after_utc == fed.issuing.not_valid_after_utc
    near_the_end = fed.root.not_valid_after_utc - timedelta(days=100)
    again = fed.renew_issuing(PASSPHRASE, now=near_the_end)
    assert again.issuing.not_valid_after_utc == fed.root.not_valid_after_utc


def test_an_ended_issuing_authority_issues_nothing(fed):
    with pytest.raises(Refused) as refusal:
        issued(fed, now=NOW + timedelta(days=401))
    assert refusal.value.rule == "issuing-expired"


def test_the_roots_key_is_encrypted_and_all_keys_are_their_owners(fed, tmp_path):
    keys = {path.name: path for path in (tmp_path / "keys").iterdir()}
    assert set(keys) == {
        "root.key",
        "root.pem",
        "issuing.key",
        "issuing.pem",
        "coordinator.key",
        "coordinator.pem",
        "ledger.key",
    }
    assert b"ENCRYPTED" in keys["root.key"].read_bytes()
    for name, path in keys.items():
        if name.endswith(".key"):
            assert path.stat().st_mode & 0o777 == 0o600


def test_a_wider_issuing_key_is_refused(fed, tmp_path):
    (tmp_path / "keys" / "issuing.key").chmod(0o640)
    with pytest.raises(Refused) as refusal:
        Authority.load(tmp_path)
    assert refusal.value.rule == "key-mode"


def test_keys_are_never_made_over_others_and_half_made_ones_are_made_anew(tmp_path):
    (tmp_path / "keys.new").mkdir()
    (tmp_path / "keys.new" / "root.key").write_bytes(b"half")
    first = federation(tmp_path)
    with pytest.raises(Refused) as refusal:
        federation(tmp_path)
    assert refusal.value.rule == "key-exists"
    assert Authority.load(tmp_path).root_fingerprint == first.root_fingerprint
    assert Authority.load(tmp_path).federation == "heart"


def test_a_new_issuing_authority_needs_the_roots_passphrase(fed):
    with pytest.raises(Refused) as refusal:
        fed.renew_issuing(b"wrong", now=NOW)
    assert refusal.value.rule == "wrong-passphrase"


def test_a_new_issuing_authority_leaves_what_the_old_one_issued_valid(fed, tmp_path):
    before = issued(fed)
    assert not fed.issuing_due(NOW + timedelta(days=309))
    assert fed.issuing_due(NOW + timedelta(days=310))
    later = NOW + timedelta(days=310)
    renewed = fed.renew_issuing(PASSPHRASE, now=later)
    loaded = Authority.load(tmp_path)
    assert loaded.issuing_key.key_id == renewed.issuing_key.key_id != fed.issuing_key.key_id
    assert loaded.root_fingerprint == fed.root_fingerprint
    for certificate, now in ((before, NOW), (issued(loaded, now=later), later)):
        chain = (*read_chain(certificate.pem_chain), fed.root)
        assert check_chain(chain, root=fed.root_fingerprint, now=now)
    old = tmp_path / "keys" / f"issuing-{fed.issuing.serial_number:x}.pem"
    assert read_chain(old.read_bytes())[0] == fed.issuing
    assert loaded.certificates == renewed.certificates
    for key in (fed.issuing_key, loaded.issuing_key):
        assert verify(key.key_id, key.sign(b"x"), b"x", certificates=loaded.certificates)
    own = read_chain(loaded.coordinator_certificate().pem_chain)
    assert check_chain((*own, fed.root), root=fed.root_fingerprint, now=NOW)


def test_the_coordinators_certificate_is_renewed_with_its_key_and_host(fed):
    assert fed.renew_coordinator(NOW + timedelta(days=59)) is None
    before = coordinator_leaf(fed)
    later = NOW + timedelta(days=60)
    renewed = fed.renew_coordinator(later)
    after = coordinator_leaf(fed)
    assert renewed.serial == f"{after.serial_number:x}"
    assert after.public_key() == before.public_key()
    assert after.not_valid_after_utc == later + timedelta(days=90)
    kind = x509.SubjectAlternativeName
    assert set(extension(after, kind).value) == set(extension(before, kind).value)


def test_renewal_is_due_from_day_60(fed):
    peer = peer_name(issued(fed).pem_chain)
    assert not renewal_due(peer, NOW + timedelta(days=59))
    assert renewal_due(peer, NOW + timedelta(days=60))
    assert renewal_due(peer, NOW + timedelta(days=100))


def test_a_renewed_certificate_keeps_the_name_of_the_old(fed):
    peer = peer_name(issued(fed).pem_chain)
    renewed = fed.renew(make_csr(make_tls_key()), peer, now=NOW + timedelta(days=61))
    assert peer_name(renewed.pem_chain).actor == peer.actor
    assert peer_name(renewed.pem_chain).serial != peer.serial
