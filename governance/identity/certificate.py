"""Certificates: three of them in a chain (root, issuing authority, peer), all P-256.

A peer is who its certificate says. What a certificate may say is decided here and by the
authority alone; whatever stands in a request but its public key is ignored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from governance.identity import names
from governance.identity.keys import spki_sha256
from protos.errors import PeerFault, Refused
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from governance.identity.revocation import Revocations

_CSR_LIMIT_BYTES: Final = 4096
_PEM_LIMIT_BYTES: Final = 16 * 1024
_CHAIN_LIMIT: Final = 3
_NO_AUTHORITY: Final = -1
_ANY_LENGTH: Final = 99


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a certificate says somebody is; `serial` in lower-case hex."""

    federation: str
    role: str
    name: str
    serial: str
    spki_sha256: Digest
    not_before: datetime
    not_after: datetime

    @property
    def actor(self) -> str:
        """How statements name this peer: `site/NAME`."""
        return names.actor(self.role, self.name)

    @property
    def key(self) -> KeyId:
        """The name of its TLS key, `x509:…`."""
        return KeyId(f"x509:{self.spki_sha256}")


def make_tls_key() -> ec.EllipticCurvePrivateKey:
    """Make a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request (PKCS #10, DER) that says nothing but the public key, and proves it."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def csr_key(csr: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a request whose maker has the private one.

    Raises:
        PeerFault: it is no request, for another curve than P-256, or not signed by its key.
    """
    if len(csr) > _CSR_LIMIT_BYTES:
        raise PeerFault("a certificate request is too long", rule="bad-csr")
    try:
        request = x509.load_der_x509_csr(csr)
        public = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion):
        raise PeerFault("a certificate request cannot be read", rule="bad-csr") from None
    if not is_p256(public) or not proven:
        raise PeerFault("a certificate request proves no P-256 key", rule="bad-csr")
    return public


def fingerprint(certificate: x509.Certificate) -> Digest:
    """Return the SHA-256 of a certificate's DER, in hex."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Digest(hashlib.sha256(der).hexdigest())


def to_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def read_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read one to three PEM certificates, leaf first, or raise PeerFault."""
    if len(pem) > _PEM_LIMIT_BYTES:
        raise PeerFault("a certificate chain is too long", rule="bad-certificate")
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, x509.InvalidVersion):
        raise PeerFault("a certificate cannot be read", rule="bad-certificate") from None
    if not 1 <= len(chain) <= _CHAIN_LIMIT:
        raise PeerFault("a certificate chain is too long", rule="bad-certificate")
    return chain


def peer_name(pem: bytes) -> Peer:
    """Read who a PEM certificate (the first of it) says somebody is, or raise PeerFault."""
    return _leaf(pem)[1]


@lru_cache(maxsize=256)
def _leaf(pem: bytes) -> tuple[x509.Certificate, Peer]:
    """Read the first certificate, once for the same bytes: every call shows its own again."""
    certificate = read_chain(pem)[0]
    return certificate, peer_of(certificate)


def peer_of(certificate: x509.Certificate) -> Peer:
    """Read who a certificate says somebody is; its issuer is not checked here.

    Raises:
        PeerFault: it has not exactly one URI of ours, or another key than P-256.
    """
    try:
        alternatives = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        public = certificate.public_key()
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise PeerFault("the certificate names nobody", rule="bad-certificate") from None
    uris = alternatives.value.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or not is_p256(public):
        raise PeerFault("the certificate names nobody", rule="bad-certificate")
    who = names.parse_uri(uris[0])
    return Peer(
        federation=who.federation,
        role=who.role,
        name=who.name,
        serial=f"{certificate.serial_number:x}",
        spki_sha256=Digest(spki_sha256(public)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def authenticate(
    peer_pem: bytes, *, federation: str, revocations: Revocations, now: datetime
) -> Peer:
    """Return who calls, by the certificate that TLS has verified up to our root.

    For every call anew: a connection outlives the end and the revocation of its certificate.

    Raises:
        Refused: the certificate names nobody, is another federation's, is not for clients, is
            out of its time, or is revoked.
    """
    # 0. A name. Stops a certificate of ours that was never a member's, such as an authority's.
    try:
        certificate, peer = _leaf(peer_pem)
    except PeerFault as fault:
        raise Refused(fault.what, rule=fault.rule) from None
    # 1. Federation. Stops a peer of another federation whose root is trusted here too.
    if peer.federation != federation:
        raise Refused(f"{peer.actor} belongs to {peer.federation}", rule="wrong-federation")
    # 2. Use. Stops the coordinator's own certificate from passing for a member's.
    if peer.role == names.COORDINATOR or not is_for(
        certificate, ExtendedKeyUsageOID.CLIENT_AUTH
    ):
        raise Refused(f"{peer.actor} has no client's certificate", rule="wrong-use")
    # 3. Time. Stops an open connection from outliving its certificate.
    check_time(peer, now)
    # 4. Revocation. Stops a member who was shut out, whatever certificate it shows.
    revocations.check_peer(peer)
    return peer


def check_time(peer: Peer, now: datetime) -> None:
    """Raise Refused when a certificate has ended or has not begun."""
    _check_time(f"the certificate of {peer.actor}", peer.not_before, peer.not_after, now)


def _check_time(which: str, begins: datetime, ends: datetime, now: datetime) -> None:
    if now > ends:
        raise Refused(f"{which} ended on {ends:%Y-%m-%d %H:%M} UTC", rule="certificate-expired")
    if now < begins:
        raise Refused(
            f"{which} begins on {begins:%Y-%m-%d %H:%M} UTC",
            todo="If that is in the past, the clock of this machine is behind: set it right"
            " (`timedatectl set-ntp true`), then try again.",
            rule="certificate-not-yet-valid",
        )


def check_chain(chain: Sequence[x509.Certificate], *, root: Digest, now: datetime) -> Peer:
    """Check a leaf, its issuing authority and the root against the root's fingerprint.

    Raises:
        PeerFault: there are not three, or they are no chain.
        Refused: the root is another one, or one of them is out of its time.
    """
    if len(chain) != _CHAIN_LIMIT:
        raise PeerFault("a chain is a leaf, an issuing authority and a root", rule="bad-chain")
    leaf, issuing, top = chain
    # 1. The root is the one we were told of. Stops whoever answers in the coordinator's place.
    if fingerprint(top) != root:
        raise Refused(
            f"the root's fingerprint is {fingerprint(top)}, but {root} was expected",
            todo="Somebody else answers there, or the token is another federation's. Ask the"
            " operator who invited you, by another way than this connection.",
            rule="wrong-root",
        )
    # 2. Each is signed by the next. Stops a chain made up around a true root.
    for lower, upper in ((leaf, issuing), (issuing, top), (top, top)):
        _check_issued(lower, upper)
    # 3. A member cannot be an authority, nor an issuing authority make others.
    shape = [_path_length(certificate) for certificate in chain]
    if shape[0] != _NO_AUTHORITY or shape[1] != 0 or shape[2] == _NO_AUTHORITY:
        raise PeerFault("a certificate is used as an authority's", rule="bad-chain")
    # 4. All are in their time.
    for certificate in chain:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _check_time("a certificate of the chain", begins, ends, now)
    return peer_of(leaf)


def is_for(certificate: x509.Certificate, use: x509.ObjectIdentifier) -> bool:
    """Tell whether a certificate names an extended key usage."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return use in usages.value


def renewal_due(peer: Peer, now: datetime) -> bool:
    """Tell whether two thirds of a certificate's time are over: day 60 of 90."""
    return now >= peer.not_after - (peer.not_after - peer.not_before) / 3


def is_p256(public: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Tell whether this is a public key on P-256, the one curve in use."""
    return isinstance(public, ec.EllipticCurvePublicKey) and isinstance(
        public.curve, ec.SECP256R1
    )


def _check_issued(lower: x509.Certificate, upper: x509.Certificate) -> None:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise PeerFault("a certificate is not signed by the next", rule="bad-chain") from None
    if lower.not_valid_after_utc > upper.not_valid_after_utc:
        raise PeerFault("a certificate outlives its issuer", rule="bad-chain")


def _path_length(certificate: x509.Certificate) -> int:
    """How many authorities may stand below it; _NO_AUTHORITY for a peer."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return _NO_AUTHORITY
    if not found.value.ca:
        return _NO_AUTHORITY
    return _ANY_LENGTH if found.value.path_length is None else found.value.path_length
