"""Private keys are kept; public ones are their own names."""

from __future__ import annotations

import copy
import hashlib
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance.identity.keys import AuthorityKey, SigningKey, parse_key_id, verify
from protos.errors import PeerFault, Refused
from protos.words import KeyId

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
BASE = (
    0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A,
    0x6666666666666666666666666666666666666666666666666666666666666658,
)
"""RFC 8032 §5.1: the order and the generator of edwards25519's large subgroup."""


def add(a, b):
    """Edwards addition (RFC 8032 §5.1.4), affine and slow."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def points_of_order_dividing_eight():
    """8-torsion: y = 0, 1, −1 and those of order 8, whose double has y = 0."""
    found = set()
    for y in small_y():
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        if x * x % P != square:
            x = x * pow(2, (P - 1) // 4, P) % P
        assert x * x % P == square
        found |= {(x, y), (-x % P, y)}
    return found


def times(number, point):
    found = (0, 1)
    while number:
        if number & 1:
            found = add(found, point)
        point, number = add(point, point), number >> 1
    return found


def encoded(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def small_y():
    # Order 8 means 2·(x, y) has y = 0, that is y² = −x²; with the curve: d·y⁴ + 2y² − 1 = 0.
    root = pow(1 + D, (P + 3) // 8, P)
    if root * root % P != (1 + D) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    ys = {0, 1, P - 1}
    for sign in (1, -1):
        square = (sign * root - 1) * pow(D, -1, P) % P
        y = pow(square, (P + 3) // 8, P)
        if y * y % P != square:
            y = y * pow(2, (P - 1) // 4, P) % P
        if y * y % P == square:
            ys |= {y, P - y}
    return ys


def test_a_key_signs_as_rfc_8032_says():
    key = SigningKey.from_seed(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert (
        key.key_id == "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    signature = key.sign(b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
        "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert verify(key.key_id, signature, b"")


def test_a_signature_fits_one_key_and_one_text():
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"yes")
    assert verify(key.key_id, signature, b"yes")
    assert not verify(key.key_id, signature, b"no")
    assert not verify(other.key_id, signature, b"yes")
    assert not verify(key.key_id, signature[:-1], b"yes")
    assert not verify(KeyId("ed25519:00"), signature, b"yes")


def test_a_malleated_signature_is_no_signature():
    key = SigningKey.from_seed(bytes(32))
    signature = key.sign(b"yes")
    moved = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(key.key_id, signature[:32] + moved.to_bytes(32, "little"), b"yes")


def test_no_key_of_small_order_is_a_key():
    points = points_of_order_dividing_eight()
    assert len(points) == 8
    for x, y in points:
        eight = (x, y)
        for _ in range(3):
            eight = add(eight, eight)
        assert eight == (0, 1)
        encodings = {y | (x & 1) << 255, y | 1 << 255, y}
        if y < 19:
            encodings |= {y + P}
        for encoding in encodings:
            text = "ed25519:" + encoding.to_bytes(32, "little").hex()
            with pytest.raises(PeerFault):
                parse_key_id(text)
            identity_signature = (1).to_bytes(32, "little") + bytes(32)
            assert not verify(KeyId(text), identity_signature, b"anything")


def test_a_signature_that_only_a_laxer_verifier_takes_is_none():
    # R is moved by a point of small order: RFC 8032's equation holds eight times over alone.
    key = SigningKey.from_seed(bytes(32))
    digest = hashlib.sha512(bytes(32)).digest()
    secret = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    for small in points_of_order_dividing_eight():
        commitment = encoded(add(times(12345, BASE), small))
        challenge = hashlib.sha512(commitment + key.public_bytes + b"yes").digest()
        answer = (12345 + int.from_bytes(challenge, "little") * secret) % ORDER
        signature = commitment + answer.to_bytes(32, "little")
        assert verify(key.key_id, signature, b"yes") is (small == (0, 1))


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:" + "AB" * 32, "rsa:" + "ab" * 32, "x509:" + "ab" * 31]
)
def test_what_is_no_key_name_is_a_peers_fault(text):
    with pytest.raises(PeerFault):
        parse_key_id(text)


def authority():
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    at = datetime(2026, 11, 21, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    return AuthorityKey(private), certificate


def test_an_authority_is_verified_by_its_certificate():
    (key, certificate), (other, others) = authority(), authority()
    signature = key.sign(b"yes")
    known = {key.key_id: certificate}
    assert verify(key.key_id, signature, b"yes", certificates=known)
    assert not verify(key.key_id, signature, b"no", certificates=known)
    assert not verify(key.key_id, signature, b"yes")
    assert not verify(other.key_id, signature, b"yes", certificates=known)
    # Attack: another's certificate filed under a trusted name.
    assert not verify(key.key_id, other.sign(b"yes"), b"yes", certificates={key.key_id: others})


@pytest.mark.parametrize(
    "key", [SigningKey.from_seed(bytes(32)), authority()[0]], ids=["s", "a"]
)
def test_a_private_key_is_neither_shown_nor_compared_nor_copied(key):
    assert repr(key).endswith(f"({key.key_id})")
    with pytest.raises(TypeError):
        key == key  # noqa: B015, PLR0124 - the point
    with pytest.raises(TypeError):
        hash(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_saved_key_is_loaded_again(tmp_path, passphrase):
    key, path = SigningKey.generate(), tmp_path / "agent.key"
    key.save(path, passphrase=passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path, passphrase=passphrase).key_id == key.key_id
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("saved", "given", "rule"),
    [
        (b"right", b"wrong", "wrong-passphrase"),
        (b"right", None, "wrong-passphrase"),
        (None, b"any", "key-unencrypted"),
    ],
)
def test_a_wrong_passphrase_is_refused_in_one_sentence(tmp_path, saved, given, rule):
    path = tmp_path / "officer.pem"
    SigningKey.generate().save(path, passphrase=saved)
    with pytest.raises(Refused) as refusal:
        SigningKey.load(path, passphrase=given)
    assert refusal.value.rule == rule
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o700, 0o660])
def test_a_key_file_that_others_could_read_is_refused(tmp_path, mode):
    path = tmp_path / "agent.key"
    SigningKey.generate().save(path, passphrase=None)
    path.chmod(mode)
    with pytest.raises(Refused) as refusal:
        SigningKey.load(path, passphrase=None)
    assert refusal.value.rule == "key-mode"


def test_a_key_file_is_never_overwritten(tmp_path):
    key, path = SigningKey.generate(), tmp_path / "agent.key"
    key.save(path, passphrase=None)
    with pytest.raises(Refused) as refusal:
        SigningKey.generate().save(path, passphrase=None)
    assert refusal.value.rule == "key-exists"
    assert SigningKey.load(path, passphrase=None).key_id == key.key_id
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "agent.key"
    with pytest.raises(Refused) as refusal:
        SigningKey.load(path, passphrase=None)
    assert refusal.value.rule == "key-missing"
    path.write_bytes(b"no key at all")
    path.chmod(0o600)
    with pytest.raises(Refused) as refusal:
        SigningKey.load(path, passphrase=None)
    assert refusal.value.rule == "key-type"
