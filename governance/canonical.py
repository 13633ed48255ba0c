"""JSON in one form only: sorted keys, no spaces, UTF-8, integers and strings.

What has one form can be signed, hashed and compared as its bytes. Floats have many forms, so
decimals are strings; true, false and null are strings or absent.
"""

from __future__ import annotations

import json
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Collection

_DEPTH_LIMIT: Final = 8
_INTEGER_LIMIT: Final = 2**53
_WRITER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_INTEGER: Final[Any] = Annotated[int, msgspec.Meta(gt=-_INTEGER_LIMIT, lt=_INTEGER_LIMIT)]


def _nested(depth: int) -> Any:  # noqa: ANN401 - a type, made here
    """Return the type of what may stand inside so many more objects and lists."""
    if depth == 0:
        return str | _INTEGER
    inner = _nested(depth - 1)
    return str | _INTEGER | GenericAlias(list, inner) | _objects_of(inner)


def _objects_of(inner: Any) -> Any:  # noqa: ANN401 - types, made here
    return GenericAlias(dict, (str, inner))


_READ: Final = msgspec.json.Decoder(_objects_of(_nested(_DEPTH_LIMIT - 1)))
_READ_ANY: Final = msgspec.json.Decoder()
_WRITE_AGAIN: Final = msgspec.json.Encoder(order="sorted")
"""Reading and comparing is done for every entry of a log. The type says all that `_check` does;
a name that stands twice, and any other form of a value, is not written again as it was read."""


def encode(value: object) -> bytes:
    """Return the bytes of a value made of dicts, lists, tuples, strings and integers.

    Raises:
        TypeError: it holds another type, such as a float.
        ValueError: an integer is 2⁵³ or more (other readers of JSON would round it), or it is
            nested more than eight deep.
        UnicodeEncodeError: a string is no Unicode text.
    """
    _check(value, _DEPTH_LIMIT)
    return _WRITER.encode(value).encode()


def decode(data: bytes) -> dict[str, Any]:
    """Read an object from exactly the bytes that `encode` writes; PeerFault for others."""
    try:
        value: dict[str, Any] = _READ.decode(data)
    except (ValueError, RecursionError):
        raise _fault() from None
    if _WRITE_AGAIN.encode(value) != data:
        raise _fault()
    return value


def loads(data: bytes) -> dict[str, Any]:
    """Read an object from JSON in any form; PeerFault for what is none.

    For a caller that writes what it has read and compares the bytes itself.
    """
    try:
        value = _READ_ANY.decode(data)
    except (ValueError, RecursionError):
        raise _fault() from None
    if not isinstance(value, dict):
        raise _fault()
    return value


def _check(value: object, depth: int) -> None:
    if type(value) is str:
        return
    if isinstance(value, dict | list | tuple):
        _check_inside(value, depth - 1)
    elif isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"there is no {type(value).__name__} here: say it as a string")
    elif isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        raise ValueError("an integer is 2**53 or more")


def _check_inside(value: Collection[object], depth: int) -> None:
    if depth < 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a name is no string")
        value = value.values()
    for inner in value:
        _check(inner, depth)


def _fault() -> PeerFault:
    return PeerFault("this is not JSON in its one form", rule="bad-json")
