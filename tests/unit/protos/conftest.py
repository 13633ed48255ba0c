"""What the wire's tests share: each message that has a door into words, found in the codec."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from protos import codec

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True, slots=True)
class Door:
    """A pair of functions of the codec, with the types that they lead between."""

    name: str
    message: type[Any]
    word: Any
    enter: Callable[[Any], Any]
    leave: Callable[[Any], Any]


def _door(name: str) -> Door:
    enter, leave = getattr(codec, f"{name}_in"), getattr(codec, f"{name}_out")
    hints = get_type_hints(enter)
    word = hints.pop("return")
    (message,) = hints.values()
    return Door(name, message, word, enter, leave)


DOORS = [
    _door(name.removesuffix("_in")) for name in sorted(codec.__all__) if name.endswith("_in")
]


def pytest_generate_tests(metafunc):
    if "door" in metafunc.fixturenames:
        metafunc.parametrize("door", DOORS, ids=[door.name for door in DOORS])


@pytest.fixture
def doors() -> list[Door]:
    return DOORS
