"""JSON in one form only: sorted keys, no spaces, UTF-8, integers and strings.

What has one form can be signed, hashed and compared as its bytes. Floats have many forms, so
decimals are strings; true, false and null are strings or absent.
"""

from __future__ import annotations

import json
from typing import Any, Final

from protos.errors import PeerFault

_DEPTH_LIMIT: Final = 8
_INTEGER_LIMIT: Final = 2**53


def encode(value: object) -> bytes:
    """Return the bytes of a value made of dicts, lists, tuples, strings and integers.

    Raises:
        TypeError: it holds another type, such as a float.
        ValueError: an integer is 2⁵³ or more (other readers of JSON would round it), or it is
            nested more than eight deep.
        UnicodeEncodeError: a string is no Unicode text.
    """
    _check(value, _DEPTH_LIMIT)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def decode(data: bytes) -> dict[str, Any]:
    """Read an object from exactly the bytes that `encode` writes; PeerFault for others."""
    try:
        value = json.loads(data.decode())
        if isinstance(value, dict) and encode(value) == data:
            return value
    except (ValueError, TypeError, RecursionError):
        pass
    raise PeerFault("this is not JSON in its one form", rule="bad-json")


def _check(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError("a name is no string")
            _check(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, depth - 1)
    else:
        _check_atom(value)


def _check_atom(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"there is no {type(value).__name__} here: say it as a string")
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        raise ValueError("an integer is 2**53 or more")
