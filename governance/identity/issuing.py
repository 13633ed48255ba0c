"""What stands in each certificate, and for how long; one function for each of the four.

| certificate | names | usage | days |
|---|---|---|---|
| root | subject only | authority, one below | 7305 |
| issuing | subject only | authority, none below | 400 |
| coordinator | host, URI | serverAuth | 90 |
| member | URI | clientAuth | 90 |

A member has no DNS name and no serverAuth: else a site could pass for the coordinator. None
has a common name, which old clients would read as a host's. None outlives its issuer.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from governance.identity import names
from governance.identity.clock import SKEW_LIMIT
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

ROOT_TIME: Final = timedelta(days=7305)
ISSUING_TIME: Final = timedelta(days=400)
PEER_TIME: Final = timedelta(days=90)

_DNS: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)
_LOOPBACK: Final = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Host:
    """Where members dial, as names for the coordinator's certificate."""

    federation: str
    names: tuple[x509.GeneralName, ...]

    @classmethod
    def parse(cls, federation: str, host: str) -> Host:
        """Read a DNS name or an IP address; this machine itself goes by both.

        Raises:
            Refused: it is neither.
        """
        if host in {"localhost", str(_LOOPBACK)}:
            return cls(federation, (x509.DNSName("localhost"), x509.IPAddress(_LOOPBACK)))
        try:
            return cls(federation, (x509.IPAddress(ipaddress.ip_address(host)),))
        except ValueError:
            pass
        if _DNS.fullmatch(host.lower()) is None:
            raise Refused(
                f"the host is {host!r}, but must be a DNS name or an IP address",
                rule="bad-host",
            )
        return cls(federation, (x509.DNSName(host.lower()),))

    @classmethod
    def of(cls, federation: str, certificate: x509.Certificate) -> Host:
        """Read the host of a coordinator's certificate again."""
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        hosts = [n for n in known.value if not isinstance(n, x509.UniformResourceIdentifier)]
        return cls(federation, tuple(hosts))


def root_authority(
    key: ec.EllipticCurvePrivateKey, *, federation: str, now: datetime
) -> x509.Certificate:
    """Make the federation's root, signed by itself."""
    subject = _subject(federation, "root authority")
    draft = _draft(key.public_key(), subject, start=now, end=now + ROOT_TIME)
    draft = _authority(draft, below=1).issuer_name(subject)
    draft = draft.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return draft.sign(key, hashes.SHA256())


def issuing_authority(
    public: ec.EllipticCurvePublicKey,
    *,
    federation: str,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make an issuing authority, which can make no other."""
    subject = _subject(federation, f"issuing authority {now:%Y-%m-%d}")
    end = min(now + ISSUING_TIME, issuer.not_valid_after_utc)
    draft = _authority(_draft(public, subject, start=now, end=end), below=0)
    return _signed(draft, public, issuer=issuer, key=key)


def coordinator(
    public: ec.EllipticCurvePublicKey,
    *,
    host: Host,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make the coordinator's certificate, the only one with a host's name."""
    who = names.Name(host.federation, names.COORDINATOR, names.COORDINATOR)
    end = min(now + PEER_TIME, issuer.not_valid_after_utc)
    draft = _draft(public, _subject(host.federation, "coordinator"), start=now, end=end)
    draft = _peer(draft, who, host.names, ExtendedKeyUsageOID.SERVER_AUTH)
    return _signed(draft, public, issuer=issuer, key=key)


def member(
    public: ec.EllipticCurvePublicKey,
    *,
    who: names.Name,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make the certificate of a site, an operator or an auditor."""
    end = min(now + PEER_TIME, issuer.not_valid_after_utc)
    draft = _draft(public, _subject(who.federation, who.role), start=now, end=end)
    draft = _peer(draft, who, (), ExtendedKeyUsageOID.CLIENT_AUTH)
    return _signed(draft, public, issuer=issuer, key=key)


def _subject(federation: str, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
    )


def _draft(
    public: ec.EllipticCurvePublicKey, subject: x509.Name, *, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    """Begin a certificate; its time begins early enough for a clock that is a little behind."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before((start - SKEW_LIMIT).replace(microsecond=0))
        .not_valid_after(end.replace(microsecond=0))
    )


def _authority(draft: x509.CertificateBuilder, *, below: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=below)
    return draft.add_extension(constraints, critical=True).add_extension(
        _key_usage(signs_certificates=True), critical=True
    )


def _peer(
    draft: x509.CertificateBuilder,
    who: names.Name,
    hosts: Sequence[x509.GeneralName],
    use: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    uri = x509.UniformResourceIdentifier(names.uri(who.federation, who.role, who.name))
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return (
        draft.add_extension(constraints, critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri, *hosts]), critical=False)
    )


def _signed(
    draft: x509.CertificateBuilder,
    public: ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        draft.issuer_name(issuer.subject)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
