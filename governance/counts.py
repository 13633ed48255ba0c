"""How a number of things is said: one round is, two rounds are, all ten rounds."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return a number of things, one or many; `noun` is what one of them is called."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {_many(noun)}"


def every(number: int, noun: str) -> str:
    """Return all of a number of things."""
    return f"the one {noun}" if number == 1 else f"all {count(number, noun)}"


def verb(number: int, one: str, many: str) -> str:
    """Return the verb that goes with a number of things."""
    return one if number == 1 else many


def _many(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
