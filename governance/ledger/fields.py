"""What a field of a statement's body may hold, each with the words that say it.

No field takes free text, a metric or a count that could identify anybody: these are disclosed.
Decimals are strings, so that no reader rounds them; `inf` is an ε without bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.identity import names
from governance.identity.keys import parse_key_id
from governance.statements import is_digest, parse_time
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RULE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{1,40}", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?|inf", re.ASCII)
_LABEL_LIMIT: Final = 200
_PEM_LIMIT: Final = 8192


@dataclass(frozen=True, slots=True)
class Field:
    """A kind of value: what it is in words, and whether something fits."""

    what: str
    fits: Callable[[object], bool]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and names.is_name(value)


def _is_rule(value: object) -> bool:
    return isinstance(value, str) and _RULE.fullmatch(value) is not None


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LABEL_LIMIT and value.isprintable()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_key(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_key_id(value) == value
    except PeerFault:
        return False


def _is_own_key(value: object) -> bool:
    return _is_key(value) and str(value).startswith("ed25519:")


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_time(value) is not None
    except PeerFault:
        return False


def _is_pem(value: object) -> bool:
    begins = "-----BEGIN CERTIFICATE-----\n"
    return isinstance(value, str) and value.startswith(begins) and len(value) <= _PEM_LIMIT


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value == "" or _is_label(value) or isinstance(value, int)


def one_of(*words: str) -> Field:
    """Return a field that holds one of these words."""
    return Field(" or ".join(words), lambda value: value in words)


def optional(field: Field) -> Field:
    """Return a field that may also be empty."""
    return Field(f"{field.what}, or empty", lambda value: value == "" or field.fits(value))


def list_of(field: Field) -> Field:
    """Return a field that holds a list without repetitions."""

    def fits(value: object) -> bool:
        return (
            isinstance(value, list)
            and all(field.fits(item) for item in value)
            and len(set(value)) == len(value)
        )

    return Field(f"a list of {field.what}, none twice", fits)


def map_of(key: Field, value: Field) -> Field:
    """Return a field that holds an object."""

    def fits(found: object) -> bool:
        return isinstance(found, dict) and all(
            key.fits(name) and value.fits(item) for name, item in found.items()
        )

    return Field(f"an object from {key.what} to {value.what}", fits)


def record_of(field: Field, *labels: str) -> Field:
    """Return a field that holds an object with just these names."""

    def fits(found: object) -> bool:
        return (
            isinstance(found, dict)
            and set(found) == set(labels)
            and all(field.fits(item) for item in found.values())
        )

    return Field(f"an object of {', '.join(labels)}", fits)


DIGEST: Final = Field("a SHA-256", is_digest)
NAME: Final = Field("a name", _is_name)
RULE: Final = Field("a rule's name", _is_rule)
LABEL: Final = Field(f"1 to {_LABEL_LIMIT} printable characters", _is_label)
COUNT: Final = Field("a whole number from 0", _is_count)
NUMBER: Final = Field("a whole number from 1", lambda value: _is_count(value) and value != 0)
TENS: Final = Field(
    "a whole number in tens", lambda value: isinstance(value, int) and value % 10 == 0 <= value
)
SOME: Final = "some"
"""So few that no number is said."""
SOME_OR_TENS: Final = Field(
    f"{SOME!r} or a whole number in tens",
    lambda value: value == SOME or (type(value) is int and value % 10 == 0 <= value),
)
DECIMAL: Final = Field(
    "a decimal in a string",
    lambda value: isinstance(value, str) and _DECIMAL.fullmatch(value) is not None,
)
KEY: Final = Field("an ed25519 key", _is_own_key)
ANY_KEY: Final = Field("a key", _is_key)
TIME: Final = Field("a time like 2026-11-21T10:46:00.000000Z", _is_time)
SERIAL: Final = Field(
    "a serial number in hex",
    lambda value: isinstance(value, str) and _HEX.fullmatch(value) is not None,
)
PEM: Final = Field("one certificate in PEM", _is_pem)
PLAIN: Final = Field("a label, a whole number or a list of them", _is_plain)


def check(what: str, body: Mapping[str, object], fields: Mapping[str, Field]) -> None:
    """Check that a body has just these fields, or raise Refused naming the first that is not.

    Strict in both directions: a field that nobody knows could carry anything.
    """
    if body.keys() != fields.keys():
        name = min(body.keys() ^ fields.keys())
        wrong = "is missing" if name in fields else "is unknown"
        raise Refused(f"{what}: {name} {wrong}", rule="bad-body")
    for name, field in fields.items():
        if not field.fits(body[name]):
            raise Refused(f"{what}: {name} must be {field.what}", rule="bad-body")
