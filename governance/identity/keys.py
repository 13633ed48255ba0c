"""Signing keys: Ed25519 for whoever speaks, ECDSA P-256 for the issuing authority.

A key's name is the key itself, `ed25519:<public key in hex>`, so that nothing has to be looked
up to verify; an authority's is `x509:<SHA-256 of its SubjectPublicKeyInfo>`, found in its
certificate. Private keys lie in PKCS #8 files that their owner alone can read.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Never, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from typing_extensions import override

from governance.identity.key_files import read_private, write_private
from protos.errors import PeerFault, Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_KEY_ID: Final = re.compile(r"(?:ed25519|x509):[0-9a-f]{64}", re.ASCII)
_SIGNATURE_BYTES: Final = 64
_SIGN_BIT: Final = 1 << 255
_PRIME: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        _PRIME,
        _PRIME + 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""The y of every Ed25519 point of order 1 to 8: with such a key one signature fits anything."""


class Signer(Protocol):
    """Whatever can sign and has a name to be verified by."""

    @property
    def key_id(self) -> KeyId:
        """The name of the public key."""

    def sign(self, data: bytes) -> bytes:
        """Sign some bytes."""


class _Private:
    """What keeps a private key from being printed, compared or copied by accident."""

    __slots__ = ("key_id",)

    key_id: KeyId

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id})"

    @override
    def __eq__(self, other: object) -> bool:
        raise TypeError("private keys are not compared; compare their key_id")

    __hash__ = None  # type: ignore[assignment]

    @override
    def __reduce__(self) -> Never:
        raise TypeError("private keys are neither copied nor pickled")


class SigningKey(_Private):
    """An Ed25519 private key; its repr is its public name."""

    __slots__ = ("_private",)

    def __init__(self, private: ed25519.Ed25519PrivateKey) -> None:
        self._private = private
        self.key_id = KeyId(f"ed25519:{private.public_key().public_bytes_raw().hex()}")

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the operating system's entropy."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Make the key of a 32-byte seed (RFC 8032), for vectors."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path, *, passphrase: bytes | None) -> SigningKey:
        """Read a key file.

        Raises:
            Refused: it is missing, others may read it, the passphrase is wrong, or it holds
                no Ed25519 key.
        """
        private = load_private_key(path, passphrase=passphrase)
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise Refused("this file holds no Ed25519 key", where=str(path), rule="key-type")
        return cls(private)

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Sign some bytes (RFC 8032); 64 bytes."""
        return self._private.sign(data)

    def save(self, path: Path, *, passphrase: bytes | None) -> None:
        """Write a new PKCS #8 PEM file of mode 0600; an existing one is refused."""
        write_private(path, private_pem(self._private, passphrase=passphrase))


class AuthorityKey(_Private):
    """A P-256 key as a signer: the issuing authority's of statements, a TLS key of its renewal.

    Its repr is its name.
    """

    __slots__ = ("_private",)

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.key_id = spki_key_id(private.public_key())

    def sign(self, data: bytes) -> bytes:
        """Sign some bytes: ECDSA with SHA-256, DER."""
        return self._private.sign(data, ec.ECDSA(hashes.SHA256()))


def verify(
    key: KeyId,
    signature: bytes,
    data: bytes,
    *,
    certificates: Mapping[KeyId, x509.Certificate] | None = None,
) -> bool:
    """Tell whether a signature over the data is this key's.

    `certificates` hold the authorities' by key id; one that is not there did not sign, and one
    that stands under another's id neither.
    """
    kind, _, text = key.partition(":")
    if _KEY_ID.fullmatch(key) is None:
        return False
    try:
        if kind == "ed25519":
            return _verifies(bytes.fromhex(text), signature, data)
        authority = _authority(key, certificates or {})
        if authority is None:
            return False
        authority.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether an Ed25519 signature is good (RFC 8032); ValueError for what is none.

    libsodium is asked first: it takes half the time, and leaves other threads alone meanwhile.
    It takes nothing that OpenSSL refuses, and OpenSSL has the last word on what it refuses.
    """
    if _is_small_order(public):
        return False
    try:
        if len(signature) == _SIGNATURE_BYTES:
            crypto_sign_open(signature + data, public)
            return True
    except BadSignatureError:
        pass
    ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    return True


@lru_cache(maxsize=1024)
def parse_key_id(text: str) -> KeyId:
    """Read a key's name, or raise PeerFault; an Ed25519 key of small order is none."""
    if _KEY_ID.fullmatch(text) is None:
        raise PeerFault("a key is no `ed25519:` or `x509:` and 64 hex digits", rule="bad-key")
    kind, _, digits = text.partition(":")
    if kind == "ed25519" and _is_small_order(bytes.fromhex(digits)):
        raise PeerFault("an Ed25519 key of small order signs nothing", rule="bad-key")
    return KeyId(text)


def spki_sha256(public: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo, in hex."""
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def spki_key_id(public: ec.EllipticCurvePublicKey) -> KeyId:
    """Return the name of an authority's public key."""
    return KeyId(f"x509:{spki_sha256(public)}")


def private_pem(
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, *, passphrase: bytes | None
) -> bytes:
    """Return a private key as PKCS #8 PEM, encrypted when there is a passphrase."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase),
    )


def load_private_key(path: Path, *, passphrase: bytes | None) -> PrivateKeyTypes:
    """Read a private key file, or raise Refused in one sentence."""
    pem = read_private(path)
    encrypted = b"ENCRYPTED" in pem.split(b"\n", 1)[0]
    if encrypted and passphrase is None:
        raise Refused("this key needs its passphrase", where=str(path), rule="wrong-passphrase")
    if passphrase is not None and not encrypted:
        raise Refused(
            "this key should be encrypted with a passphrase, and is not",
            where=str(path),
            rule="key-unencrypted",
        )
    try:
        return serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError):
        if encrypted:
            raise Refused(
                "the passphrase is wrong", where=str(path), rule="wrong-passphrase"
            ) from None
        raise Refused(
            "this file holds no private key", where=str(path), rule="key-type"
        ) from None


def _authority(
    key: KeyId, certificates: Mapping[KeyId, x509.Certificate]
) -> ec.EllipticCurvePublicKey | None:
    if key not in certificates:
        return None
    public = certificates[key].public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or spki_key_id(public) != key:
        return None
    return public


def _is_small_order(public: bytes) -> bool:
    return int.from_bytes(public, "little") % _SIGN_BIT in _SMALL_ORDER
