"""Enrolment by file, where no second port may be opened: a request out, a response in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance import canonical
from governance.statements import parse_time, timestamp
from protos.errors import PeerFault
from protos.words import Enrolled, EnrolRequest, RenewalRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def write_request(request: EnrolRequest) -> bytes:
    """Return the file of a request; it holds the token's secret, so keep it close."""
    return canonical.encode(
        {
            "clock": timestamp(request.clock),
            "csr": request.csr.hex(),
            "secret": request.secret.hex(),
            "statement": request.statement.decode(),
        }
    )


def read_request(data: bytes) -> EnrolRequest:
    """Read the file of a request, or raise PeerFault."""
    fields = _texts(data, ("clock", "csr", "secret", "statement"))
    return EnrolRequest(
        secret=_octets(fields["secret"]),
        csr=_octets(fields["csr"]),
        statement=fields["statement"].encode(),
        clock=parse_time(fields["clock"]),
    )


def write_renewal(request: RenewalRequest) -> bytes:
    """Return the file of a request in place of a certificate that has ended; keep it close."""
    return canonical.encode(
        {
            "certificate": request.certificate.decode(),
            "clock": timestamp(request.clock),
            "csr": request.csr.hex(),
            "proof": request.proof.decode(),
            "secret": request.secret.hex(),
        }
    )


def read_renewal(data: bytes) -> RenewalRequest:
    """Read the file of a request in place of an ended certificate, or raise PeerFault."""
    fields = _texts(data, ("certificate", "clock", "csr", "proof", "secret"))
    return RenewalRequest(
        secret=_octets(fields["secret"]),
        csr=_octets(fields["csr"]),
        proof=fields["proof"].encode(),
        certificate=fields["certificate"].encode(),
        clock=parse_time(fields["clock"]),
    )


def write_response(enrolled: Enrolled) -> bytes:
    """Return the file of what a newcomer is given; nothing in it is secret."""
    return canonical.encode(
        {
            "chain": enrolled.chain.decode(),
            "ledger_key": enrolled.ledger_key,
            "root": enrolled.root.decode(),
        }
    )


def read_response(data: bytes) -> Enrolled:
    """Read the file of what a newcomer is given, or raise PeerFault."""
    fields = _texts(data, ("chain", "ledger_key", "root"))
    return Enrolled(
        chain=fields["chain"].encode(),
        root=fields["root"].encode(),
        ledger_key=fields["ledger_key"],
    )


def _texts(data: bytes, names: Iterable[str]) -> Mapping[str, str]:
    try:
        fields: dict[str, Any] = canonical.decode(data.strip())
    except PeerFault:
        fields = {}
    if set(fields) != set(names) or not all(isinstance(v, str) for v in fields.values()):
        raise PeerFault("this is no enrolment file", rule="bad-enrolment")
    return fields


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise PeerFault("this is no enrolment file", rule="bad-enrolment") from None
