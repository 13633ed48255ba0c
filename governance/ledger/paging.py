"""Long lists a page at a time: how many rows there are, the first of them, and how to get on.

Each list has a key that only grows, an entry or a round, so the next page begins after the last
one's key however long the list has become meanwhile. Nothing is ever left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

_Row = TypeVar("_Row")

ROWS: Final = 200
"""How many rows a page has unless it is said otherwise."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows are asked for: at most `limit`, all if it is None, after this key."""

    limit: int | None = None
    after: int | None = None

    def of(self, question: Select[Any], key: ColumnElement[int]) -> Select[Any]:
        """Return what asks for a page's rows, and for one more to see whether there are more.

        The rows must come in the order of the key, and no two have the same.
        """
        rest = self.rest(question, key)
        return rest if self.limit is None else rest.limit(self.limit + 1)

    def rest(self, question: Select[Any], key: ColumnElement[int]) -> Select[Any]:
        """Return what asks for every row that comes after the page before."""
        return question if self.after is None else question.where(key > self.after)

    def until(
        self, c: Connection, question: Select[Any], key: ColumnElement[int]
    ) -> int | None:
        """Return the last key of a page where several rows have one, so that none is split.

        Args:
            c: A connection.
            question: Asks for the keys alone, in their order.
            key: The key.

        Returns:
            None if all that is left is on the page.
        """
        if self.limit is None:
            return None
        rest = self.rest(question, key)
        ends = c.execute(rest.offset(self.limit - 1).limit(1)).scalar()
        if ends is None or c.execute(rest.where(key > ends).limit(1)).first() is None:
            return None
        return int(ends)

    def cut(self, rows: Sequence[_Row]) -> tuple[Sequence[_Row], bool]:
        """Return a page's rows of those that `of` asked for, and whether there are more."""
        if self.limit is None or len(rows) <= self.limit:
            return rows, False
        return rows[: self.limit], True


WHOLE: Final = Page()
"""All rows."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a page shows of a list: so many rows of so many, and the key to go on after."""

    shown: int
    in_all: int
    next_after: int | None = None

    @property
    def facts(self) -> Mapping[str, object]:
        """The documented fields."""
        return {"shown": self.shown, "in_all": self.in_all, "next_after": self.next_after}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what is not shown, if anything."""
        return unshown(self.facts)


def unshown(facts: Mapping[str, object]) -> tuple[str, ...]:
    """Say what an answer does not show by its facts, if anything."""
    next_after = facts.get("next_after")
    if next_after is None:
        return ()
    if "in_all" not in facts:  # to count them would take as long as to find them all
        shown = f"{facts['shown']:,} rows are shown, and more follow."
    else:
        shown = f"{facts['shown']:,} of {facts['in_all']:,} rows are shown."
    on = f"The next ones: --after {next_after}; more at a time: --limit N"
    return (f"{shown} {on}; every one: --all",)


def asked(limit: int, after: int | None, *, all_: bool) -> Page:
    """Return what the options of a verb ask for."""
    return Page(None if all_ else limit, after)
