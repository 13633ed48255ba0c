"""How a validated value is written, as JSON Schema: what editors complete and check by.

A validator that reads text into something else says here what the text may look like, so that
the schema which is handed to editors and the one that validates are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import AfterValidator, BeforeValidator

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

Json = dict[str, Any]
Shape = Callable[[Json], Json]
"""From the schema of what a value becomes to that of how it is written."""


def _same(inner: Json) -> Json:
    return inner


@dataclass(frozen=True, slots=True)
class Written(BeforeValidator):
    """A validator that reads a value as it is written, and says how that is."""

    shape: Shape = _same

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """Return how the value is written."""
        return self.shape(handler(schema))


@dataclass(frozen=True, slots=True)
class Checked(AfterValidator):
    """A validator of a value that was read, and what it adds to how it is written."""

    shape: Shape = _same

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """Return how the value is written."""
        return self.shape(handler(schema))


@dataclass(frozen=True, slots=True)
class Offered:
    """The words of a choice that run today; others are known, and refused by their name."""

    words: tuple[str, ...]

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """Return the choice among the words that run."""
        return {"type": "string", "enum": list(self.words)}


def offered(*words: str) -> Offered:
    """Return which words of a choice are offered."""
    return Offered(words)


def exactly(**schema: object) -> Shape:
    """Return the shape of a value that is written in this way, whatever it becomes."""
    return lambda _inner: dict(schema)


def pattern(expression: str, phrase: str, *, longest: int | None = None) -> Shape:
    """Return the shape of text that matches a pattern as a whole."""
    said: Json = {"type": "string", "pattern": f"^(?:{expression})$", "description": phrase}
    return exactly(**said if longest is None else {**said, "maxLength": longest})


def either(*others: Json) -> Shape:
    """Return the shape of a value that may also be written in other ways."""
    return lambda inner: {"anyOf": [inner, *others]}


def alone_or_listed(inner: Json) -> Json:
    """Return the shape of a list that one element may stand for."""
    element = inner.get("items")
    return {"anyOf": [inner, element]} if element else inner


def without_repetition(inner: Json) -> Json:
    """Return the shape of a list in which nothing stands twice."""
    return {**inner, "uniqueItems": True}


NULL: Final[Json] = {"type": "null"}
