"""Check one field of a message: every string, list, number and time has its limit here.

Each function returns the checked value or raises `PeerFault` naming the field.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from protos.errors import PeerFault
from protos.words import Digest, KeyId, SiteName, TaskId

if TYPE_CHECKING:
    from collections.abc import Iterable

ENVELOPE_BYTES: Final = 64 * 1024
DOCUMENT_BYTES: Final = 1024 * 1024
CERTIFICATE_BYTES: Final = 32 * 1024
CHUNK_BYTES: Final = 1024 * 1024
RESUMED_CHUNK_BYTES: Final = 64 * 1024
"""What a transfer that was cut goes on in: of a message that is cut, all has to come again."""
WINDOW_BYTES: Final = 256 * 1024
"""How much of a stream may be under way: what a cut line has not handed on comes again."""
NOTE_CHARS: Final = 64 * 1024
DISCLOSURES: Final = 32
DISCLOSURE_CHARS: Final = 64 * 1024
SENTENCE_CHARS: Final = 2000
NAME_CHARS: Final = 63
PROOF_HASHES: Final = 64
FILE_BYTES: Final = 1 << 40
COUNT: Final = 1 << 40

_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"(ed25519|x509):[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RULE = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_TASK = re.compile(r"[a-z0-9][a-z0-9./-]{0,199}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def fault(field: str, what: str) -> PeerFault:
    """Return the error for a field that breaks the protocol."""
    return PeerFault(f"{field} {what}", rule="malformed-message")


def text(field: str, value: str, *, most: int, least: int = 0) -> str:
    """Return a text of `least` to `most` characters, new lines but no other controls."""
    if not least <= len(value) <= most:
        raise fault(field, f"has {len(value)} characters, but must have {least} to {most}")
    if _CONTROL.search(value):
        raise fault(field, "contains a control character")
    return value


def octets(field: str, value: bytes, *, most: int, least: int = 0) -> bytes:
    """Return `least` to `most` bytes."""
    if not least <= len(value) <= most:
        raise fault(field, f"has {len(value)} bytes, but must have {least} to {most}")
    return value


def number(field: str, value: int, *, most: int = COUNT, least: int = 0) -> int:
    """Return a whole number of `least` to `most`."""
    if not least <= value <= most:
        raise fault(field, f"is {value}, but must be {least} to {most}")
    return value


def seconds(field: str, value: float, *, most: float) -> float:
    """Return a finite time span above zero."""
    if not math.isfinite(value) or not 0 < value <= most:
        raise fault(field, f"is {value} s, but must be above 0 and at most {most}")
    return value


def finite(field: str, value: float) -> float:
    """Return a number that is neither infinite nor undefined."""
    if not math.isfinite(value):
        raise fault(field, f"is {value}, but must be a finite number")
    return value


_T = TypeVar("_T")


def some(field: str, values: Iterable[_T], *, most: int) -> tuple[_T, ...]:
    """Return at most `most` values."""
    kept = tuple(values)
    if len(kept) > most:
        raise fault(field, f"has {len(kept)} elements, but must have at most {most}")
    return kept


def _matching(field: str, value: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(value):
        raise fault(field, f"is not {what}")
    return value


def digest(field: str, value: str) -> Digest:
    """Return a SHA-256 in 64 lower-case hexadecimal digits."""
    return Digest(_matching(field, value, _DIGEST, "a SHA-256 in hexadecimal"))


def key(field: str, value: str) -> KeyId:
    """Return a key id."""
    return KeyId(_matching(field, value, _KEY, "a key id such as ed25519:<64 digits>"))


def name(field: str, value: str) -> SiteName:
    """Return a name of lower-case letters, digits and hyphens, 63 characters at most."""
    return SiteName(_matching(field, value, _NAME, "a name of lower-case letters and digits"))


def rule(field: str, value: str) -> str:
    """Return the kebab-case name of a rule, or nothing."""
    return value and _matching(field, value, _RULE, "a rule's name")


def task(field: str, value: str) -> TaskId:
    """Return a task's id."""
    return TaskId(_matching(field, value, _TASK, "a task's id"))


def time(field: str, value: str) -> datetime:
    """Return an RFC 3339 time in UTC, to the microsecond."""
    _matching(field, value, _TIME, "an RFC 3339 time in UTC, such as 2026-11-21T10:46:00Z")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise fault(field, "is not a time that there is") from None


def time_text(moment: datetime) -> str:
    """Return the RFC 3339 text of a time in UTC, to the microsecond."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def line(field: str, value: str, *, most: int = 1000) -> str:
    """Return a text of one line."""
    if "\n" in value:
        raise fault(field, "has more than one line")
    return text(field, value, most=most)
