"""Hostile inputs from good ones: bytes changed anywhere, or one value of a JSON replaced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    import random

TOKENS: Final = (
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf"),
    *(b"nan", b"-inf", b"1e999", b"9" * 5000, b"-1", b"1.0", b"0x10", b"null", b"true", b"{}"),
    *(b"[" * 200, b"{" * 200, b'{"a":' * 200, b'"', b"\\", b"\\u0000", b"\\ud800", b"\n\n"),
    *(
        b"\n\xe2\x80\x94 a b\n",
        b"\xe2\x80\xae",
        b"&a ",
        b"*a",
        b"!!python/object:os.system ",
        b"? ",
    ),
    *(b"\x80" * 10 + b"\x01", b"\xff" * 9 + b"\x01", bytes(8), b"\xff" * 8, b"\x7f" + bytes(7)),
)
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**63), 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "0", "-1", "1e400", "nan", "inf", "-0", "9" * 400, "0.1", "1_000", "\u0661", " 1"),
    *("a" * 5000, "\x00", "\ud800", "\u202e", "../../etc/passwd", "a/b", "amc", "f" * 64),
    *("2026-11-21T10:46:00.000000Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"),
    *(
        [],
        {},
        [[]],
        [None],
        [{}],
        {"": ""},
        {"a": {"a": {"a": {"a": {}}}}},
        [[[[[[[[[1]]]]]]]]],
    ),
)


def bytes_changed(draw: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """Return a sample with one to four changes: bits, lengths, parts of others, hard tokens."""
    raw = bytearray(seed)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(raw) + 1)
        way = draw.randrange(7)
        if way == 0 and raw:
            raw[at % len(raw)] ^= 1 << draw.randrange(8)
        elif way == 1:
            raw[at:at] = draw.choice(TOKENS)
        elif way == 2:
            del raw[at : at + draw.choice((1, 2, 8, 64, 1 << 20))]
        elif way == 3:
            raw[at : at + 1] = draw.randbytes(draw.choice((1, 1, 4, 16)))
        elif way == 4:
            token = draw.choice(TOKENS)
            raw[at : at + len(token)] = token
        elif way == 5:
            other = draw.choice(others)
            start = draw.randrange(len(other) + 1)
            raw[at:at] = other[start : start + draw.randrange(200)]
        else:
            part = raw[at : at + draw.randrange(1, 64)]
            raw[at:at] = part * draw.choice((1, 2, 100))
    return bytes(raw)


def value_changed(draw: random.Random, value: Any) -> Any:
    """Return a JSON value in which one place holds something else, or is gone, or is new."""
    whole = json.loads(json.dumps(value))
    holder, key = _place(draw, whole)
    if holder is None:
        return draw.choice(VALUES)
    way = draw.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[draw.choice(("", "a", "schema", "\x00", "kind", key.upper()))] = holder[key]
    elif way == 2 and isinstance(holder, list):
        holder.extend([holder[key]] * draw.choice((1, 100)))
    elif way == 3 and isinstance(holder[key], str):
        text = holder[key].encode()
        holder[key] = bytes_changed(draw, text, [text]).decode(errors="replace")
    elif way == 4 and isinstance(holder[key], int):
        holder[key] += draw.choice((1, -1, 10**6, 2**40))
    else:
        holder[key] = draw.choice(VALUES)
    return whole


def _place(draw: random.Random, value: Any) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = []
    _collect(value, places)
    return draw.choice(places) if places else (None, None)


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            _collect(value[key], places)


TEXTS: Final = tuple(v for v in VALUES if isinstance(v, str) and "\ud800" not in v)
WHOLE: Final = (0, 1, 2, 1000, 2**31, 2**32 - 1)
OCTETS: Final = (b"", bytes(1), bytes(32), bytes(64), bytes(148), *TOKENS)


def message_of(draw: random.Random, message: type[Any], *, depth: int = 0) -> Any:
    """Return a message with any of its fields, holding anything that the wire can carry."""
    made = message()
    for field in message.DESCRIPTOR.fields:
        if draw.random() < 0.2 or (field.message_type and depth > 3):
            continue
        if field.is_repeated:
            values = [_field(draw, field, depth) for _ in range(draw.choice((0, 1, 2, 200)))]
            getattr(made, field.name).extend(values)
        elif field.message_type:
            getattr(made, field.name).CopyFrom(_field(draw, field, depth))
        else:
            setattr(made, field.name, _field(draw, field, depth))
    return made


_OF_TYPE: Final = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: OCTETS,
    FieldDescriptor.TYPE_BOOL: (False, True),
    FieldDescriptor.TYPE_DOUBLE: (0.0, 1.0, -1.0, 1e308, 5e-324, float("nan"), float("inf")),
    FieldDescriptor.TYPE_ENUM: (0, 1, 2, 3, 99, -1),
    FieldDescriptor.TYPE_UINT32: WHOLE,
    FieldDescriptor.TYPE_UINT64: (*WHOLE, 2**53, 2**63, 2**64 - 1),
}


def _field(draw: random.Random, field: Any, depth: int) -> Any:
    if field.message_type:
        return message_of(draw, field.message_type._concrete_class, depth=depth + 1)
    return draw.choice(_OF_TYPE[field.type])
