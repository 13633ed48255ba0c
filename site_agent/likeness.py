"""How alike names of features and of columns are, as people abbreviate and translate them."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from site_agent.data import unit_names
from site_agent.data.vocabulary import SAME, folded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEAR: Final = 0.72
SURE: Final = 0.85
_COMPOUND: Final = 0.84
"""Of a word to a longer one that begins or ends with it: near, and never sure."""
_LEAST_PART: Final = 4
_SYNONYMS: Final[Mapping[str, frozenset[str]]] = {
    word: words for words in SAME for word in words
}


def pairs(wanted: Sequence[str], columns: Sequence[str]) -> dict[int, tuple[int, float]]:
    """Return which column each name is probably in, the surest pair first, each column once."""
    features = [words(name) for name in wanted]
    headers = [words(unit_names.in_header(column)[0]) for column in columns]
    scores = sorted(
        (
            (_likeness(name, column), place, other)
            for place, name in enumerate(features)
            for other, column in enumerate(headers)
        ),
        key=lambda scored: (-scored[0], scored[1], scored[2]),
    )
    found: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for score, place, other in scores:
        if score < NEAR:
            break
        if place not in found and other not in taken:
            found[place] = other, score
            taken.add(other)
    return found


def words(name: str) -> tuple[str, ...]:
    """Return a name's words and numbers, folded."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[a-z]+|[0-9]+", folded(spaced)))


def _likeness(name: Sequence[str], column: Sequence[str]) -> float:
    """Return how alike two names are, word by word in any order; 1 for the same words."""
    if not name or not column:
        return 0.0
    forth = sum(max(_alike(word, other) for other in column) for word in name) / len(name)
    back = sum(max(_alike(word, other) for other in name) for word in column) / len(column)
    return 0.8 * forth + 0.2 * back


def _alike(one: str, other: str) -> float:
    if one == other or other in _SYNONYMS.get(one, ()):
        return 1.0
    short, long = sorted((one, other), key=len)
    if long.startswith(short):
        return 0.9 if len(short) > 2 else 0.6
    if _compounded(one, other) or _compounded(other, one):
        return _COMPOUND
    return SequenceMatcher(None, one, other).ratio() if len(short) > 2 else 0.0


def _compounded(one: str, whole: str) -> bool:
    """Tell whether a word begins or ends with another, or with what stands for it."""
    parts = tuple(word for word in _SYNONYMS.get(one, {one}) if len(word) >= _LEAST_PART)
    return (bool(parts) and whole.startswith(parts)) or whole.endswith(parts)
