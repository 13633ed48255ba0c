"""What the first entry founds: the log, its root of trust, and the authority below that root.

The root's certificate must have the fingerprint that every statement names, so whoever knows
that, as each newcomer does from its token, needs to believe nobody. An issuing authority is
believed because the root signed its certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from sqlalchemy import Connection, select

from governance import statements
from governance.identity import certificate
from governance.identity.keys import spki_key_id
from governance.ledger import fields
from governance.ledger.prepared import Prepared
from governance.ledger.schema import entries
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.fields import Field
    from governance.statements import Log, Statement
    from protos.words import KeyId

FOUNDS: Mapping[str, Field] = {"issuing": fields.PEM, "origin_root": fields.PEM}
"""What the body of the first `enrolled` has beside the usual."""

_FIRST: Final = Prepared(select(entries.c.leaf_hash).where(entries.c.seq == 0))


@dataclass(frozen=True, slots=True)
class Founding:
    """The log, its root, and the key and certificate of its first issuing authority."""

    log: Log
    root: x509.Certificate
    authority: KeyId
    issuing: x509.Certificate


@lru_cache(maxsize=8)
def founding(envelope: bytes) -> Founding:
    """Read what a log's first entry founds.

    1. It enrols the coordinator. Stops a log that begins in the middle.
    2. The root has the fingerprint that the statement names. Stops another root.
    3. The root signed the issuing authority. Stops an authority that nobody appointed.

    Raises:
        Refused: one of these does not hold; its signatures are checked by admission.
    """
    statement = statements.read(envelope)
    body = statement.body
    # 1.
    if statement.kind != "enrolled" or body.get("role") != "coordinator":
        raise Refused("a log begins with the coordinator's enrolment", rule="no-genesis")
    if not (FOUNDS.keys() <= set(body) and all(FOUNDS[k].fits(body[k]) for k in FOUNDS)):
        raise Refused("the first entry has no root and issuing certificate", rule="no-genesis")
    # 2.
    root = _certificate(body["origin_root"])
    if certificate.fingerprint(root) != statement.log.root:
        raise Refused("the root is not the one with this fingerprint", rule="wrong-root")
    # 3.
    issuing = _certificate(body["issuing"])
    return Founding(statement.log, root, authority_of(issuing, root), issuing)


def of_log(c: Connection, leaf_hash: bytes | None = None) -> Founding:
    """Return what the log in a database founds; `leaf_hash` is its first entry's, when known.

    The envelope is read once for each connection and first entry.

    Raises:
        Refused: the log is empty, or begins with something else.
    """
    if leaf_hash is None:
        first = _FIRST.first(c)
        leaf_hash = None if first is None else bytes(first.leaf_hash)
    known: tuple[bytes | None, Founding] | None = c.info.get("founding")
    if known is not None and known[0] == leaf_hash:
        return known[1]
    envelope = c.execute(select(entries.c.envelope).where(entries.c.seq == 0)).scalar()
    if envelope is None:
        raise Refused("the log is empty", rule="no-genesis")
    found = founding(envelope)
    c.info["founding"] = (leaf_hash, found)
    return found


def rotated(statement: Statement, root: x509.Certificate) -> tuple[KeyId, x509.Certificate]:
    """Read the new issuing authority that a `key-rotated` brings, or raise Refused."""
    pem = statement.body["issuing"]
    if not fields.PEM.fits(pem):
        raise Refused("a new authority comes with its certificate", rule="bad-body")
    issuing = _certificate(pem)
    return authority_of(issuing, root), issuing


def authority_of(issuing: x509.Certificate, root: x509.Certificate) -> KeyId:
    """Return the key of an issuing certificate that the root signed, or raise Refused."""
    public = issuing.public_key()
    try:
        issuing.verify_directly_issued_by(root)
        limits = issuing.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise Refused(
            "the root did not sign the issuing authority", rule="wrong-root"
        ) from None
    if not limits.ca or not certificate.is_p256(public):
        raise Refused("the issuing certificate is no authority's on P-256", rule="wrong-root")
    return spki_key_id(public)


def _certificate(pem: str) -> x509.Certificate:
    try:
        (only,) = certificate.read_chain(pem.encode())
    except (PeerFault, ValueError):
        raise Refused("a certificate cannot be read", rule="wrong-root") from None
    return only
