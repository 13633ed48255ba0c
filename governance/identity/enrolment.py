"""Enrolment: a one-time token in, a certificate out; all keys are made by the newcomer.

The token is bound to a name, a role and the root's fingerprint, by which the newcomer knows the
coordinator. Only the hash of its secret is kept. The same request may be sent again until its
answer arrives; another one with the same token is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from governance import canonical
from governance.identity import names
from governance.identity.certificate import csr_key
from governance.identity.clock import check_clock
from governance.identity.keys import parse_key_id, spki_sha256
from governance.statements import Chain, check_signatures, compose, is_digest, read, sign
from protos.errors import ConciliumError, PeerFault, Refused
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from governance.identity.keys import SigningKey
    from governance.statements import Log, Statement
    from protos.words import EnrolRequest

SECRET_BYTES: Final = 32
OFFICERS_LIMIT: Final = 8
KIND: Final = "enrolled"

_PREFIX: Final = "concilium1."
_TOKEN_LIMIT: Final = 2000
_FIELDS: Final = {
    "federation", "role", "name", "root", "enrolment", "coordinator", "secret"
}  # fmt: skip
_ENDPOINT: Final = re.compile(r"(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """An invitation as it is handed over; whoever holds it may enrol once.

    `enrolment` and `coordinator` are `host:port`; `enrolment` is empty when it goes by file.
    """

    federation: str
    role: str
    name: str
    root: Digest
    enrolment: str
    coordinator: str
    secret: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the coordinator keeps; `used_by` is the digest of the statement that used it."""

    name: str
    role: str
    secret_hash: Digest
    expires: datetime
    used_by: Digest | None = None


def mint(token: Token) -> str:
    """Write a token as the text that is handed over."""
    data = canonical.encode(
        {
            "federation": token.federation,
            "role": token.role,
            "name": token.name,
            "root": token.root,
            "enrolment": token.enrolment,
            "coordinator": token.coordinator,
            "secret": token.secret.hex(),
        }
    )
    return _PREFIX + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_token(text: str) -> Token:
    """Read a token; space around it, as copying leaves it, does not matter.

    Raises:
        Refused: it is none, or a part of it is missing.
    """
    try:
        return _token(_token_fields(text.strip()))
    except (PeerFault, ValueError, binascii.Error):
        raise Refused(
            "this is no invitation token, or a part of it is missing",
            todo="Copy the whole line that begins with concilium1. and has no spaces.",
            rule="bad-token",
        ) from None


def secret_hash(secret: bytes) -> Digest:
    """Return what is stored of a token's secret; 256 random bits need no salt."""
    return Digest(hashlib.sha256(secret).hexdigest())


def invitation_of(token: Token, *, expires: datetime) -> Invitation:
    """Return what the coordinator keeps of a token."""
    return Invitation(token.name, token.role, secret_hash(token.secret), expires)


def check_invitation(
    invitation: Invitation | None,
    secret: bytes,
    *,
    now: datetime,
    name: str,
    role: str,
    statement: Digest | None = None,
) -> None:
    """Check that a token's secret admits this name in this role now; raise Refused if not.

    `statement` is the digest of the request's statement: the very same may come again.
    """
    # 1. Known. Stops a made-up token.
    if invitation is None or not hmac.compare_digest(
        invitation.secret_hash, secret_hash(secret)
    ):
        raise Refused("nobody was invited with this token", rule="token-unknown")
    # 2. For this name and role. Stops a site's token from making an operator.
    if (invitation.name, invitation.role) != (name, role):
        raise Refused(
            f"this token is for {invitation.role} {invitation.name}, not for {role} {name}",
            rule="token-for-another",
        )
    # 3. Once. Stops a second holder of a copied token.
    if invitation.used_by is not None:
        if invitation.used_by == statement:
            return
        raise Refused(
            f"this token of {role} {name} was used before",
            todo="If it was not you, tell the operator at once; else ask for a new one.",
            rule="token-used",
        )
    # 4. In time.
    if now > invitation.expires:
        raise Refused(
            f"this token ended on {invitation.expires:%Y-%m-%d %H:%M} UTC",
            todo="Use the newest that the operator gave you, or ask for another.",
            rule="token-expired",
        )


def enrolled_body(
    name: str,
    role: str,
    *,
    key: KeyId,
    officers: Sequence[KeyId],
    tls: ec.EllipticCurvePublicKey,
    needed: int = 1,
) -> Mapping[str, Any]:
    """Return the body of `enrolled`; `needed` officers must sign for a site."""
    return {
        "name": name,
        "role": role,
        "agent": key,
        "officers": list(officers),
        "needed": needed if officers else 0,
        "tls": spki_sha256(tls),
    }


def enrolled_statement(
    body: Mapping[str, Any],
    *,
    key: SigningKey,
    officers: Sequence[SigningKey],
    log: Log,
    at: datetime,
) -> bytes:
    """Return the newcomer's signed `enrolled`; every officer vouches for the agent key."""
    payload = compose(
        KIND,
        body,
        actor=names.actor(body["role"], body["name"]),
        key=key.key_id,
        chain=Chain.START,
        log=log,
        at=at,
    )
    return sign(payload, [key, *officers])


def check_enrolment(
    request: EnrolRequest, *, invitation: Invitation | None, log: Log, now: datetime
) -> Statement:
    """Check a newcomer's request and return its statement, ready for the authority's signature.

    The caller looks the invitation up by `secret_hash(request.secret)`, has the certificate
    issued, and writes entry, certificate and the token's use in one transaction.

    Raises:
        PeerFault: the request is malformed.
        Refused: a rule says no.
    """
    statement = read(request.statement)
    body = _enrolled(statement)
    # 1. The token, and that it is for this name and role.
    check_invitation(
        invitation,
        request.secret,
        now=now,
        name=body["name"],
        role=body["role"],
        statement=statement.digest,
    )
    # 2. Clocks agree. Else times in the record would mean nothing.
    check_clock(now, request.clock)
    # 3. For this very log. Stops a statement made for another federation.
    if statement.log != log:
        raise Refused("this statement is for another federation's log", rule="wrong-log")
    # 4. Possession of all keys: agent's and officers' by signature, TLS's by the request.
    officers = [parse_key_id(key) for key in body["officers"]]
    check_signatures(statement, [statement.key, *officers])
    if spki_sha256(csr_key(request.csr)) != body["tls"]:
        raise Refused("the statement is about another TLS key", rule="wrong-key")
    return statement


def check_endpoint(text: str, *, what: str) -> str:
    """Return a `host:port` as it is, or raise Refused; `what` is its place."""
    found = _ENDPOINT.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise Refused(f"{what} is {text!r}, but must be host:port", rule="bad-endpoint")
    return text


def _enrolled(statement: Statement) -> Mapping[str, Any]:
    body = statement.body
    fields = {"name", "role", "agent", "officers", "needed", "tls"}
    if statement.kind != KIND or set(body) != fields:
        raise _fault("its fields are others")
    if body["role"] not in names.NAMED_ROLES or not isinstance(body["name"], str):
        raise _fault("it has no role and name")
    if statement.actor != names.actor(body["role"], body["name"]):
        raise _fault("its actor is another")
    if statement.key != body["agent"] or statement.chain.counter != 1:
        raise _fault("it is not the first of the key that it names")
    if statement.previous != Chain.START.previous or not is_digest(body["tls"]):
        raise _fault("its chain or TLS key is none")
    _check_officers(body)
    return body


def _check_officers(body: Mapping[str, Any]) -> None:
    officers, needed = body["officers"], body["needed"]
    if not isinstance(officers, list) or not all(isinstance(key, str) for key in officers):
        raise _fault("its officers are no list of keys")
    if len(set(officers)) != len(officers) or body["agent"] in officers:
        raise _fault("a key stands in it twice")
    most = OFFICERS_LIMIT if body["role"] == "site" else 0
    least = 1 if body["role"] == "site" else 0
    if not least <= len(officers) <= most:
        raise _fault(f"a {body['role']} has {least} to {most} officers")
    if type(needed) is not int or not least <= needed <= len(officers):
        raise _fault("it needs more officers than there are, or none")


def _token_fields(text: str) -> dict[str, Any]:
    if not text.startswith(_PREFIX) or len(text) > _TOKEN_LIMIT:
        raise ValueError("no token")
    data = text.removeprefix(_PREFIX).encode("ascii")
    padded = data + b"=" * (-len(data) % 4)
    fields = canonical.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    if set(fields) != _FIELDS or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("other fields")
    return fields


def _token(fields: Mapping[str, Any]) -> Token:
    secret = bytes.fromhex(fields["secret"])
    names_good = names.is_name(fields["federation"]) and names.is_name(fields["name"])
    if fields["role"] not in names.NAMED_ROLES or not names_good:
        raise ValueError("no name or role")
    if len(secret) != SECRET_BYTES or not is_digest(fields["root"]):
        raise ValueError("no secret or root")
    try:
        check_endpoint(fields["coordinator"], what="the coordinator")
        if fields["enrolment"]:
            check_endpoint(fields["enrolment"], what="enrolment")
    except ConciliumError:
        raise ValueError("no endpoint") from None
    return Token(
        federation=fields["federation"],
        role=fields["role"],
        name=fields["name"],
        root=Digest(fields["root"]),
        enrolment=fields["enrolment"],
        coordinator=fields["coordinator"],
        secret=secret,
    )


def _fault(what: str) -> PeerFault:
    return PeerFault(f"this is no enrolment: {what}", rule="bad-enrolment")
