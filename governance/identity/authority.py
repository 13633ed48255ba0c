"""The federation's authority: a root kept offline, an issuing CA below it, and what they issue.

The root's key is encrypted and needed again only for a new issuing CA; the issuing key lies
with the coordinator. From a request the authority takes the public key, and nothing else.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from governance.identity import issuing, names
from governance.identity.certificate import (
    csr_key,
    fingerprint,
    is_p256,
    make_tls_key,
    peer_of,
    read_chain,
    renewal_due,
    to_pem,
)
from governance.identity.key_files import (
    read_private,
    replace_private,
    replace_public,
    write_private,
)
from governance.identity.keys import (
    AuthorityKey,
    SigningKey,
    load_private_key,
    private_pem,
    spki_key_id,
)
from governance.statements import Log, timestamp
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from governance.identity.certificate import Peer
    from protos.words import Digest, KeyId

ISSUING_REPLACED_BEFORE_END: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A peer's certificate; `pem_chain` is leaf and issuing CA, `serial` lower-case hex."""

    pem_chain: bytes
    name: str
    role: str
    serial: str
    fingerprint: Digest
    not_after: datetime

    @property
    def body(self) -> Mapping[str, Any]:
        """What `certificate-issued` says of it."""
        return {
            "name": self.name,
            "role": self.role,
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "not_after": timestamp(self.not_after),
        }


@dataclass(frozen=True, slots=True)
class Authority:
    """The issuing authority at work, as the coordinator holds it."""

    keys: Path
    federation: str
    root: x509.Certificate
    issuing: x509.Certificate
    issuing_key: AuthorityKey
    _private: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Read the authority from a coordinator's folder.

        Raises:
            Refused: a file is missing, or others may read a key.
            Corrupt: key and certificates do not belong together.
        """
        keys = folder / "keys"
        private, certificate = _read_issuing(keys / "issuing.key")
        root = _read_public(keys / "root.pem")[0]
        coordinator = peer_of(_read_public(keys / "coordinator.pem")[0])
        loaded = cls(
            keys, coordinator.federation, root, certificate, AuthorityKey(private), private
        )
        replace_public(keys / "issuing.pem", to_pem([certificate]))
        return loaded

    @property
    def root_fingerprint(self) -> Digest:
        """What tokens and statements name the federation by."""
        return fingerprint(self.root)

    @property
    def log(self) -> Log:
        """The federation's log."""
        return Log.of(self.federation, self.root_fingerprint)

    @property
    def certificates(self) -> Mapping[KeyId, x509.Certificate]:
        """Issuing certificates, former ones too, by key: they verify what it signed."""
        paths = sorted(self.keys.glob("issuing-*.pem"))
        known = [_read_public(path)[0] for path in paths]
        return {_key_of(certificate): certificate for certificate in (*known, self.issuing)}

    @property
    def root_pem(self) -> bytes:
        """The root's certificate."""
        return to_pem([self.root])

    def ledger_key(self) -> SigningKey:
        """Read the key that signs the log's checkpoints and the coordinator's statements."""
        return SigningKey.load(self.keys / "ledger.key", passphrase=None)

    def coordinator_tls(self) -> tuple[bytes, bytes]:
        """Read the coordinator's TLS key and chain (leaf, issuing CA, root), both PEM."""
        key = read_private(self.keys / "coordinator.key")
        return key, (self.keys / "coordinator.pem").read_bytes()

    def coordinator_certificate(self) -> IssuedCertificate:
        """Describe the coordinator's present certificate, for the ledger."""
        leaf, issuer, _ = _read_public(self.keys / "coordinator.pem")
        return _issued(leaf, issuer)

    def issue(self, csr: bytes, *, name: str, role: str, now: datetime) -> IssuedCertificate:
        """Issue a member's certificate for the key of a request and nothing else of it.

        Raises:
            PeerFault: the request proves no P-256 key.
            Refused: the role is not a member's, or the issuing CA has ended.
        """
        if role not in names.NAMED_ROLES:
            raise Refused(f"nobody is enrolled as {role}", rule="bad-role")
        names.check_name(name, what="the name")
        self._check_issuing(now)
        leaf = issuing.member(
            csr_key(csr),
            who=names.Name(self.federation, role, name),
            issuer=self.issuing,
            key=self._private,
            now=now,
        )
        return _issued(leaf, self.issuing)

    def renew(self, csr: bytes, peer: Peer, *, now: datetime) -> IssuedCertificate:
        """Issue a member's next certificate; `renewal.check_request` must have said yes."""
        return self.issue(csr, name=peer.name, role=peer.role, now=now)

    def renew_coordinator(self, now: datetime) -> IssuedCertificate | None:
        """Replace the coordinator's own certificate when it is due; same key and host."""
        leaf = _read_public(self.keys / "coordinator.pem")[0]
        if not renewal_due(peer_of(leaf), now):
            return None
        self._check_issuing(now)
        public = leaf.public_key()
        if not is_p256(public):
            raise Corrupt(
                "the coordinator's key is not P-256",
                where=str(self.keys),
                todo="Bring the folder keys/ back from a backup.",
                rule="keys-damaged",
            )
        fresh = issuing.coordinator(
            public,
            host=issuing.Host.of(self.federation, leaf),
            issuer=self.issuing,
            key=self._private,
            now=now,
        )
        chain = to_pem([fresh, self.issuing, self.root])
        replace_public(self.keys / "coordinator.pem", chain)
        return _issued(fresh, self.issuing)

    def issuing_due(self, now: datetime) -> bool:
        """Tell whether the issuing CA should be replaced, 90 days before it ends."""
        return now >= self.issuing.not_valid_after_utc - ISSUING_REPLACED_BEFORE_END

    def renew_issuing(self, passphrase: bytes, *, now: datetime) -> Authority:
        """Make a new issuing CA with the root's key, in one step, and return it loaded.

        What the old one issued stays valid; the old certificate is kept beside the new one.

        Raises:
            Refused: the passphrase is wrong, or the root's key is not here.
        """
        root_key = _p256(load_private_key(self.keys / "root.key", passphrase=passphrase))
        private = make_tls_key()
        certificate = issuing.issuing_authority(
            private.public_key(),
            federation=self.federation,
            issuer=self.root,
            key=root_key,
            now=now,
        )
        old = f"issuing-{self.issuing.serial_number:x}.pem"
        replace_public(self.keys / old, to_pem([self.issuing]))
        replace_private(self.keys / "issuing.key", _issuing_file(private, certificate))
        replace_public(self.keys / "issuing.pem", to_pem([certificate]))
        return replace(
            self, issuing=certificate, issuing_key=AuthorityKey(private), _private=private
        )

    def _check_issuing(self, now: datetime) -> None:
        if now >= self.issuing.not_valid_after_utc:
            raise Refused(
                "the issuing authority has ended and can issue no certificate",
                todo="Make a new one: concilium-coordinator rotate-key issuing",
                rule="issuing-expired",
            )


def create(
    folder: Path, *, federation: str, host: str, passphrase: bytes, now: datetime
) -> Authority:
    """Make a federation's keys in `folder/keys`, all of them or none, and return them loaded.

    Args:
        folder: The coordinator's folder; made when it is not there.
        federation: Its name.
        host: The DNS name or IP address that members will dial.
        passphrase: For the root's key.
        now: The present time.

    Raises:
        Refused: there are keys already, or a name is none.
    """
    names.check_name(federation, what="the federation")
    keys = folder / "keys"
    if keys.exists():
        raise Refused(
            "there are keys here already, and they are never overwritten",
            where=str(keys),
            rule="key-exists",
        )
    half = folder / "keys.new"
    if half.exists():
        shutil.rmtree(half)
    half.mkdir(parents=True, mode=0o700)
    _make(half, issuing.Host.parse(federation, host), passphrase=passphrase, now=now)
    half.rename(keys)
    return Authority.load(folder)


def _issued(leaf: x509.Certificate, issuer: x509.Certificate) -> IssuedCertificate:
    peer = peer_of(leaf)
    return IssuedCertificate(
        pem_chain=to_pem([leaf, issuer]),
        name=peer.name,
        role=peer.role,
        serial=peer.serial,
        fingerprint=fingerprint(leaf),
        not_after=peer.not_after,
    )


def _make(keys: Path, host: issuing.Host, *, passphrase: bytes, now: datetime) -> None:
    root_key, issuing_key, own_key = make_tls_key(), make_tls_key(), make_tls_key()
    root = issuing.root_authority(root_key, federation=host.federation, now=now)
    below = issuing.issuing_authority(
        issuing_key.public_key(),
        federation=host.federation,
        issuer=root,
        key=root_key,
        now=now,
    )
    own = issuing.coordinator(
        own_key.public_key(), host=host, issuer=below, key=issuing_key, now=now
    )
    write_private(keys / "root.key", private_pem(root_key, passphrase=passphrase))
    write_private(keys / "issuing.key", _issuing_file(issuing_key, below))
    write_private(keys / "coordinator.key", private_pem(own_key, passphrase=None))
    SigningKey.generate().save(keys / "ledger.key", passphrase=None)
    replace_public(keys / "root.pem", to_pem([root]))
    replace_public(keys / "issuing.pem", to_pem([below]))
    replace_public(keys / "coordinator.pem", to_pem([own, below, root]))


def _issuing_file(private: ec.EllipticCurvePrivateKey, own: x509.Certificate) -> bytes:
    """Key and certificate in one file, so that they are replaced in one step."""
    return private_pem(private, passphrase=None) + to_pem([own])


def _read_issuing(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    private = _p256(load_private_key(path, passphrase=None))
    certificate = read_chain(read_private(path))[0]
    if certificate.public_key() != private.public_key():
        raise Corrupt(
            "the issuing key and its certificate do not fit",
            where=str(path),
            todo="Bring the folder keys/ back from a backup.",
            rule="keys-damaged",
        )
    return private, certificate


def _read_public(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_chain(path.read_bytes())
    except FileNotFoundError:
        raise Refused("there is no such file", where=str(path), rule="key-missing") from None


def _key_of(certificate: x509.Certificate) -> KeyId:
    public = certificate.public_key()
    if not is_p256(public):
        raise Corrupt("an issuing authority's key is not P-256", rule="keys-damaged")
    return spki_key_id(public)


def _p256(private: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Refused("this file holds no P-256 key", rule="key-type")
    return private
