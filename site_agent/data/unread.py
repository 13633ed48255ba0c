"""What stands in cells that mean nothing under the agreement, by kind and never by content.

Two kinds are told from the rest, because each has a remedy: numbers with a decimal comma, and
the numbers by which files conventionally say that there is no value. Those numbers are public
conventions, so that naming one says nothing of a record.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SENTINELS: Final = (
    "0", "-1", "-9", "-99", "-999", "-9999", "9", "99", "999", "9999", "77", "88", "777", "888",
)  # fmt: skip
"""What stands for no value in many files."""

MOST_DISTINCT: Final = 1000
_COMMA: Final = re.compile(r"[-+]?[0-9]*,[0-9]+(?:[eE][-+]?[0-9]+)?")
_BY_NUMBER: Final = {float(text): text for text in SENTINELS}


@dataclass(slots=True)
class Unread:
    """How many cells of one column were unread, and of which kind.

    Args:
        count: Of all kinds.
        commas: Numbers with a decimal comma.
        sentinels: How many cells hold each of `SENTINELS`.
        distinct: What is written in the others, each once, up to `MOST_DISTINCT`; only how many
            they are is ever shown.
    """

    count: int = 0
    commas: int = 0
    sentinels: Counter[str] = field(default_factory=Counter)
    distinct: set[str] = field(default_factory=set, repr=False)

    def note(self, cells: Iterable[str]) -> None:
        """Take note of cells that are unread."""
        for cell in cells:
            text = cell.strip()
            self.count += 1
            if _COMMA.fullmatch(text):
                self.commas += 1
            elif sentinel := _sentinel(text):
                self.sentinels[sentinel] += 1
            elif len(self.distinct) < MOST_DISTINCT:
                self.distinct.add(text)


def _sentinel(text: str) -> str:
    try:
        return _BY_NUMBER.get(float(text), "")
    except ValueError:
        return ""
