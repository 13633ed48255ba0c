"""Checkpoints: the log's head as a signed note, cosigned by every hospital as a witness.

The body is c2sp.org/tlog-checkpoint's: origin, size and base64 of the root, without extension
lines. The log signs it under its origin; a site's agent key cosigns (cosignature/v1) under the
name `<origin>/site/<site>`. A cosignature says: at that time this is the largest tree that I
saw of this log, and it extends all that I saw before.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.ledger import merkle, note
from governance.ledger.note import COSIGNATURE, VerifierKey
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from governance.identity.keys import Signer
    from protos.words import KeyId

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head of a log; root is 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_body(text: str) -> Checkpoint:
    """Read the body of a checkpoint strictly, or raise PeerFault."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "" or not note.is_key_name(lines[0]):
        raise _fault("its lines are not origin, size and root")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        raise _fault("its root is no base64") from None
    if _SIZE.fullmatch(lines[1]) is None or len(root) != merkle.HASH_BYTES:
        raise _fault("its size or root is out of range")
    checkpoint = Checkpoint(lines[0], int(lines[1]), root)
    if checkpoint.body != text or (checkpoint.size == 0) != (root == merkle.EMPTY):
        raise _fault("its body has another form than the one")
    return checkpoint


def log_key(origin: str, key: KeyId) -> VerifierKey:
    """Return the log's verifier; its `text` is the vkey that people pin."""
    return VerifierKey.of(origin, key)


def witness_name(origin: str, site: str) -> str:
    """Return the name under which a site cosigns this log's checkpoints."""
    return f"{origin}/site/{site}"


def witness_key(origin: str, site: str, key: KeyId) -> VerifierKey:
    """Return a site's verifier as a witness of this log, from its agent key."""
    return VerifierKey.of(witness_name(origin, site), key, algorithm=COSIGNATURE)


def sign(head: Checkpoint, key: Signer) -> str:
    """Return a checkpoint as a note signed by the log."""
    return note.Note(head.body, (note.sign(head.body, head.origin, key),)).signed


def read(text: str, key: VerifierKey) -> Checkpoint:
    """Read a note as a checkpoint of this log, or raise PeerFault.

    1. The log's key signed it. Stops a head that somebody else made up.
    2. Its origin is that key's name. Stops another log's head from passing for this one's.
    """
    parsed = note.parse(text)
    note.check(parsed, [key])
    checkpoint = parse_body(parsed.text)
    if checkpoint.origin != key.name:
        raise _fault(f"it is {checkpoint.origin}'s, not {key.name}'s")
    return checkpoint


def cosign(text: str, *, site: str, key: Signer, at: datetime) -> str:
    """Return a site's signature line over a checkpoint that it has verified."""
    parsed = note.parse(text)
    name = witness_name(parse_body(parsed.text).origin, site)
    return note.cosign(parsed.text, name, key, at=at).line


def cosignature(text: str, line: str, key: VerifierKey) -> datetime:
    """Return when this witness cosigned the checkpoint in a note, by its line.

    Raises:
        PeerFault: the line is another witness's, or its signature is bad.
    """
    body = note.parse(text).text
    return note.check(note.Note(body, (note.parse_line(line),)), [key])[key].time


def witnesses(text: str, agents: Mapping[str, KeyId]) -> dict[str, datetime]:
    """Return the sites whose agent keys cosigned a note, and when; each key serves one site.

    Raises:
        PeerFault: a cosignature of one of them is bad.
    """
    parsed = note.parse(text)
    origin = parse_body(parsed.text).origin
    known = {witness_key(origin, site, key): site for site, key in agents.items()}
    hashes = {(key.name, key.key_hash) for key in known}
    theirs = [item for item in parsed.signatures if (item.name, item.key_hash) in hashes]
    if not theirs:
        return {}
    good = note.check(note.Note(parsed.text, tuple(theirs)), known)
    return {known[key]: signature.time for key, signature in good.items()}


def with_cosignatures(text: str, lines: Iterable[str]) -> str:
    """Return a note with more signature lines."""
    parsed = note.parse(text)
    more = tuple(note.parse_line(line) for line in lines)
    return note.Note(parsed.text, (*parsed.signatures, *more)).signed


def only_by(text: str, key: VerifierKey) -> str:
    """Return a note with the signatures of one key alone."""
    parsed = note.parse(text)
    named = (key.name, key.key_hash)
    own = tuple(item for item in parsed.signatures if (item.name, item.key_hash) == named)
    return note.Note(parsed.text, own).signed


def _fault(what: str) -> PeerFault:
    return PeerFault(f"a checkpoint cannot be read: {what}", rule="bad-checkpoint")
