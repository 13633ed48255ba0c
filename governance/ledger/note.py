r"""Signed notes: a text and lines of signatures, as c2sp.org/signed-note says.

    text "\n" ("— " name " " base64(4 bytes of key hash ‖ signature) "\n")+

The text ends in a newline and is split off at the last blank line. The key hash is the start of
SHA-256(name ‖ "\n" ‖ type ‖ public key), so a signature says of which type it is: 0x01 is
Ed25519 over the text, 0x04 the timestamped cosignature/v1 of c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from governance.identity import keys
from protos.errors import PeerFault
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from governance.identity.keys import Signer

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
NOTE_LIMIT: Final = 128 * 1024
"""Characters of a note that are read at all."""
SIGNATURES_LIMIT: Final = 256
_KEY_HASH_BYTES: Final = 4
_TIME_BYTES: Final = 8
_TIME_LIMIT: Final = 253_402_300_800
"""Seconds; the year 10000 is no time that a clock of today shows."""
_NO_TEXT: Final = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")
"""Control characters but the newline, and what is no UTF-8."""
_SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNATURE: _TIME_BYTES + 64}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name with a key of one type; `public` are the 32 bytes of an Ed25519 key."""

    name: str
    algorithm: int
    public: bytes

    @classmethod
    def of(cls, name: str, key: KeyId, *, algorithm: int = ED25519) -> VerifierKey:
        """Return the verifier of an `ed25519:` key under a name of notes."""
        kind, _, public = key.partition(":")
        if kind != "ed25519" or not is_key_name(name):
            raise ValueError(f"{name} {key} cannot sign notes")
        return cls(name, algorithm, bytes.fromhex(public))

    @property
    def key_id(self) -> KeyId:
        """The key as statements name it."""
        return KeyId(f"ed25519:{self.public.hex()}")

    @property
    def key_hash(self) -> bytes:
        """The four bytes by which a signature line names this key."""
        data = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(data).digest()[:_KEY_HASH_BYTES]

    @property
    def text(self) -> str:
        """The vkey: `<name>+<8 hex digits>+<base64 of type and public key>`."""
        tagged = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_hash.hex()}+{tagged}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line; `blob` is what follows the key hash."""

    name: str
    key_hash: bytes
    blob: bytes

    @property
    def line(self) -> str:
        """The line without its newline."""
        return f"— {self.name} {base64.b64encode(self.key_hash + self.blob).decode()}"

    @property
    def time(self) -> datetime:
        """When a cosignature was made; only one that was verified has a time."""
        seconds = int.from_bytes(self.blob[:_TIME_BYTES], "big")
        return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read, no signature of it verified; the text includes its last newline."""

    text: str
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> str:
        """The whole note."""
        return "".join([self.text, "\n", *(f"{item.line}\n" for item in self.signatures)])


def is_key_name(name: str) -> bool:
    """Tell whether a name may stand in a signature line."""
    # Of all that is white, a space alone is printable.
    return name != "" and "+" not in name and " " not in name and name.isprintable()


def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey of a type known here, or raise PeerFault."""
    name, _, rest = text.partition("+")
    key_hash, _, tagged = rest.partition("+")
    public = _base64(tagged)
    if not is_key_name(name) or len(public) != 33 or public[0] not in _SIGNATURE_BYTES:
        raise _fault("a verifier key is no `name+hash+key` of a known type")
    key = VerifierKey(name, public[0], public[1:])
    if key.key_hash.hex() != key_hash:
        raise _fault("a verifier key's hash is not that of its name and key")
    keys.parse_key_id(key.key_id)
    return key


@lru_cache(maxsize=64)
def parse(note: str) -> Note:
    """Read a note strictly; its signatures are read, not verified.

    Raises:
        PeerFault: it has another form, is too long, or has too many signatures.
    """
    if len(note) > NOTE_LIMIT:
        raise _fault(f"it is longer than {NOTE_LIMIT}")
    if _NO_TEXT.search(note) is not None:
        raise _fault("it holds control characters or is no UTF-8")
    place = note.rfind("\n\n")
    if place < 0:
        raise _fault("it has no blank line before its signatures")
    *lines, last = note[place + 2 :].split("\n")
    if last != "" or not 1 <= len(lines) <= SIGNATURES_LIMIT:
        raise _fault(f"it has not 1 to {SIGNATURES_LIMIT} whole lines of signatures")
    return Note(note[: place + 1], tuple(parse_line(line) for line in lines))


def parse_line(line: str) -> Signature:
    """Read one signature line without its newline, or raise PeerFault."""
    dash, _, rest = line.partition(" ")
    name, _, text = rest.partition(" ")
    blob = _base64(text)
    if dash != "—" or not is_key_name(name) or len(blob) <= _KEY_HASH_BYTES:
        raise _fault("a signature line is no `— name base64`")
    return Signature(name, blob[:_KEY_HASH_BYTES], blob[_KEY_HASH_BYTES:])


def sign(text: str, name: str, signer: Signer) -> Signature:
    """Sign a note's text under a name (type 0x01)."""
    key = VerifierKey.of(name, signer.key_id)
    return Signature(name, key.key_hash, signer.sign(text.encode()))


def cosign(text: str, name: str, signer: Signer, *, at: datetime) -> Signature:
    """Sign a note's text with the time, in whole seconds, under a name (type 0x04)."""
    key = VerifierKey.of(name, signer.key_id, algorithm=COSIGNATURE)
    time = int(at.timestamp()).to_bytes(_TIME_BYTES, "big")
    return Signature(name, key.key_hash, time + signer.sign(_cosigned(text, time)))


def check(note: Note, known: Iterable[VerifierKey]) -> dict[VerifierKey, Signature]:
    """Return the known keys that signed, each with its last signature.

    1. A signature counts for a key only if name and key hash both fit. Stops one witness from
       speaking under another's name.
    2. One bad signature of a known key spoils the whole note. Stops a note that was changed
       from living on by the signatures that nobody checks.
    3. A note that no known key signed is refused. Stops an unsigned one from passing.

    Raises:
        PeerFault: 2 or 3.
    """
    by_name = {(key.name, key.key_hash): key for key in known}
    good: dict[VerifierKey, Signature] = {}
    for signature in note.signatures:
        key = by_name.get((signature.name, signature.key_hash))
        if key is None:
            continue
        if not _is_good(key, note.text, signature.blob):
            raise _fault(f"the signature of {key.name} is bad", rule="bad-signature")
        good[key] = signature
    if not good:
        raise _fault("nobody known signed it", rule="bad-signature")
    return good


@lru_cache(maxsize=256)
def _is_good(key: VerifierKey, text: str, blob: bytes) -> bool:
    if len(blob) != _SIGNATURE_BYTES[key.algorithm]:
        return False
    if key.algorithm == ED25519:
        return keys.verify(key.key_id, blob, text.encode())
    time, signature = blob[:_TIME_BYTES], blob[_TIME_BYTES:]
    return int.from_bytes(time, "big") < _TIME_LIMIT and keys.verify(
        key.key_id, signature, _cosigned(text, time)
    )


def _cosigned(text: str, time: bytes) -> bytes:
    seconds = int.from_bytes(time, "big")
    return b"cosignature/v1\ntime %d\n%s" % (seconds, text.encode())


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _fault("a text is no base64") from None
    if base64.b64encode(data).decode() != text:
        raise _fault("a base64 text has another form than the one")
    return data


def _fault(what: str, *, rule: str = "bad-note") -> PeerFault:
    return PeerFault(f"a signed note cannot be believed: {what}", rule=rule)
