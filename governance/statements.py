"""Statements: who says what, signed, in a DSSE envelope.

The payload is canonical JSON and is signed, hashed and verified as its bytes. Each names the
federation and log that it is for, and the counter and digest of the same key's statement
before, so that none can be played again, moved, or left out unseen.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from governance import canonical, dsse
from governance.identity import names
from governance.identity.keys import parse_key_id
from protos.errors import PeerFault, Refused
from protos.words import Digest, Disclosure, KeyId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography import x509

    from governance.identity.keys import Signer

PAYLOAD_TYPE: Final = "application/vnd.concilium.statement+json"
SCHEMA: Final = 1
SALT_BYTES: Final = 32

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_FIELDS: Final[Mapping[str, type]] = {
    "actor": str,
    "at": str,
    "body": dict,
    "counter": int,
    "disclosed": dict,
    "federation": str,
    "key": str,
    "kind": str,
    "log": str,
    "previous": str,
    "root": str,
    "schema": int,
}


@dataclass(frozen=True, slots=True)
class Log:
    """Which log a statement is for; `root` is the fingerprint of the federation's root CA."""

    federation: str
    origin: str
    root: Digest

    @classmethod
    def of(cls, federation: str, root: Digest) -> Log:
        """Return the log of a federation, `concilium/<federation>`."""
        return cls(federation, f"concilium/{federation}", root)


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a key's statements stand: the last counter, and the digest of that statement."""

    counter: int
    previous: Digest

    START: ClassVar[Chain]


Chain.START = Chain(0, Digest("0" * 64))


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as read: well formed, its signatures not yet checked.

    `digest` is the SHA-256 of the payload; `key` is the signer whose chain it belongs to, and
    further signatures may stand beside its own; `commitments` go by their labels.
    """

    envelope: bytes
    payload: bytes
    digest: Digest
    kind: str
    schema: int
    actor: str
    key: KeyId
    counter: int
    previous: Digest
    at: datetime
    log: Log
    body: Mapping[str, Any]
    commitments: Mapping[str, Digest]
    signatures: Mapping[KeyId, bytes]

    @property
    def chain(self) -> Chain:
        """What the next statement of this key builds on."""
        return Chain(self.counter, self.digest)


def compose(  # noqa: PLR0913 - the fields of the format
    kind: str,
    body: Mapping[str, Any],
    *,
    actor: str,
    key: KeyId,
    chain: Chain,
    log: Log,
    at: datetime,
    disclosures: Sequence[Disclosure] = (),
) -> bytes:
    """Return a payload to sign, the next of its key's chain.

    Args:
        kind: One of the ledger's kinds.
        body: Strings, integers below 2⁵³, lists and dicts of them; decimals are strings.
        actor: `site/NAME`, `operator/NAME`, `auditor/NAME`, `coordinator` or `authority`.
        key: The key whose chain it continues.
        chain: Where that chain stands.
        log: The log it is for.
        at: When, by the signer's clock.
        disclosures: The values that the entry only commits to.

    Raises:
        Refused: a text is no Unicode, or all of it is too long for an entry.
        TypeError: a value of the body has another type, such as a float (our fault).
        ValueError: a field has a form that nobody would read (our fault).
    """
    disclosed = {told.label: commitment(told) for told in disclosures}
    if len(disclosed) != len(disclosures):
        raise ValueError("two disclosures have one label")
    return _encoded(
        {
            "actor": actor,
            "at": timestamp(at),
            "body": dict(body),
            "counter": chain.counter + 1,
            "disclosed": disclosed,
            "federation": log.federation,
            "key": key,
            "kind": kind,
            "log": log.origin,
            "previous": chain.previous,
            "root": log.root,
            "schema": SCHEMA,
        }
    )


def _encoded(fields: Mapping[str, Any]) -> bytes:
    kind = fields["kind"]
    try:
        payload = canonical.encode(fields)
    except UnicodeEncodeError:
        raise Refused("a text holds bytes that are no UTF-8", rule="bad-text") from None
    room = dsse.ENVELOPE_LIMIT_BYTES * 3 // 4 - 4096
    if len(payload) > room:
        raise Refused(
            f"this {kind} has {len(payload)} bytes, but an entry must be under {room}",
            rule="statement-too-large",
        )
    try:
        _check_fields(canonical.decode(payload))
    except PeerFault as fault:
        raise ValueError(f"{kind}: {fault}") from fault
    return payload


def sign(payload: bytes, signers: Sequence[Signer]) -> bytes:
    """Return the DSSE envelope of a payload with a signature of each signer."""
    return dsse.seal(PAYLOAD_TYPE, payload, signers)


def countersign(envelope: bytes, signer: Signer) -> bytes:
    """Return the envelope with one more signature; the statement and its digest stay."""
    payload, signatures = dsse.unseal(PAYLOAD_TYPE, envelope)
    mine = signer.sign(dsse.pae(PAYLOAD_TYPE, payload))
    return dsse.envelope_of(PAYLOAD_TYPE, payload, {**signatures, signer.key_id: mine})


def read(envelope: bytes) -> Statement:
    """Parse an envelope strictly; signatures are read, not verified.

    Raises:
        PeerFault: anything in it is not exactly as this module would have written it.
    """
    return (_known if len(envelope) <= _SMALL_BYTES else _read)(envelope)


def _read(envelope: bytes) -> Statement:
    payload, signatures = dsse.unseal(PAYLOAD_TYPE, envelope)
    fields = canonical.decode(payload)
    at = _check_fields(fields)
    if fields["key"] not in signatures:
        raise _fault("the key that it names did not sign it")
    return Statement(
        envelope=envelope,
        payload=payload,
        digest=Digest(hashlib.sha256(payload).hexdigest()),
        kind=fields["kind"],
        schema=fields["schema"],
        actor=fields["actor"],
        key=KeyId(fields["key"]),
        counter=fields["counter"],
        previous=Digest(fields["previous"]),
        at=at,
        log=_log(fields["federation"], fields["log"], fields["root"]),
        body=fields["body"],
        commitments=fields["disclosed"],
        signatures=signatures,
    )


_SMALL_BYTES: Final = 1 << 14
_known: Final = lru_cache(maxsize=512)(_read)
"""What was read lately: a round asks the same few statements of a store again and again."""


def check_signatures(
    statement: Statement,
    keys: Iterable[KeyId],
    *,
    certificates: Mapping[KeyId, x509.Certificate] | None = None,
) -> None:
    """Check that each of these keys signed, or raise Refused naming the first that did not.

    `certificates` hold the authorities' by key id. A signature by any other key proves nothing
    and is not looked at.
    """
    message = dsse.pae(PAYLOAD_TYPE, statement.payload)
    dsse.check_signed(message, statement.signatures, keys, certificates=certificates)


def disclose(label: str, value: str, *, salt: bytes) -> Disclosure:
    """Return a value to be committed to; `salt` is 32 fresh random bytes."""
    if _WORD.fullmatch(label) is None or len(salt) != SALT_BYTES:
        raise ValueError(f"a disclosure has a word as label and {SALT_BYTES} bytes of salt")
    return Disclosure(label, salt, value)


def commitment(told: Disclosure) -> Digest:
    """Return SHA-256(label ‖ 0x00 ‖ salt ‖ value), which an entry holds instead."""
    try:
        data = told.label.encode() + b"\0" + told.salt + told.value.encode()
    except UnicodeEncodeError:
        raise Refused("a text holds bytes that are no UTF-8", rule="bad-text") from None
    return Digest(hashlib.sha256(data).hexdigest())


def check_disclosures(statement: Statement, disclosures: Sequence[Disclosure]) -> None:
    """Check that each value is the one that the statement commits to, or raise Refused."""
    if len({told.label for told in disclosures}) != len(disclosures):
        raise Refused("a value is disclosed twice", rule="disclosure-mismatch")
    for told in disclosures:
        known = statement.commitments.get(told.label)
        if len(told.salt) != SALT_BYTES or known != commitment(told):
            raise Refused(
                f"{statement.kind} does not commit to this {told.label}",
                rule="disclosure-mismatch",
            )


def check_all_told(statement: Statement, disclosures: Sequence[Disclosure]) -> None:
    """Check that every value which the statement commits to is there, or raise Refused."""
    missing = statement.commitments.keys() - {told.label for told in disclosures}
    if missing:
        raise Refused(
            f"{statement.kind} came without the {min(missing)} that it commits to",
            rule="disclosure-missing",
        )


@lru_cache(maxsize=256)
def timestamp(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC with microseconds: `2026-11-21T10:46:00.000000Z`."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone is no time")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read a time in the one form that `timestamp` writes, or raise PeerFault."""
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise PeerFault("a time is not like 2026-11-21T10:46:00.000000Z", rule="bad-time")


def is_digest(text: object) -> bool:
    """Tell whether this is a SHA-256 in 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def _check_fields(fields: Mapping[str, Any]) -> datetime:
    """Check the form of every field that all kinds have; return when it was signed."""
    _check_types(fields)
    if fields["schema"] != SCHEMA:
        raise _fault(f"its schema is {fields['schema']}, but only {SCHEMA} is known here")
    if _WORD.fullmatch(fields["kind"]) is None or fields["counter"] < 1:
        raise _fault("its kind or counter is out of range")
    names.parse_actor(fields["actor"])
    parse_key_id(fields["key"])
    at = parse_time(fields["at"])
    if not is_digest(fields["previous"]):
        raise _fault("its previous is no SHA-256")
    _log(fields["federation"], fields["log"], fields["root"])
    for label, digest in fields["disclosed"].items():
        if _WORD.fullmatch(label) is None or not is_digest(digest):
            raise _fault("its disclosed are no labels with digests")
    return at


def _check_types(fields: Mapping[str, Any]) -> None:
    if fields.keys() != _FIELDS.keys():
        raise _fault("its fields are not those of a statement")
    for name, kind in _FIELDS.items():
        if type(fields[name]) is not kind:
            raise _fault(f"its {name} has the wrong type")


@lru_cache(maxsize=64)
def _log(federation: str, origin: str, root: str) -> Log:
    """Return the log that a statement is for, or raise PeerFault; a record names one alone."""
    if not names.is_name(federation):
        raise _fault("its federation is no name")
    log = Log.of(federation, Digest(root))
    if origin != log.origin:
        raise _fault("its log is not its federation's")
    if not is_digest(root):
        raise _fault("its root is no SHA-256")
    return log


def _fault(what: str) -> PeerFault:
    return PeerFault(f"a statement cannot be read: {what}", rule="bad-statement")
