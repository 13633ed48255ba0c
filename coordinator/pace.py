"""How fast one caller may read the log, so that all others go on: a token bucket for each.

Requests beyond the pace are refused in a sentence. Entries beyond it wait in their own stream;
a second stream beside one that waits is refused too. Pure: the time is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Final

from protos.errors import Unavailable


@dataclass(slots=True)
class Allowance:
    """What each caller may take: `rate` a second, and `burst` at once after a rest."""

    rate: float
    burst: float
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait_s(self, caller: str, *, at_s: float) -> float:
        """Return for how many seconds a caller must wait until it has one again."""
        return max(0.0, (1 - self._level(caller, at_s)) / self.rate)

    def take(self, caller: str, count: int, *, at_s: float) -> None:
        """Take so many off a caller; it may come to owe some."""
        self._levels[caller] = (self._level(caller, at_s) - count, at_s)

    def _level(self, caller: str, at_s: float) -> float:
        level, since_s = self._levels.get(caller, (self.burst, at_s))
        return min(self.burst, level + (at_s - since_s) * self.rate)


REQUESTS: Final = (20.0, 100.0)
ENTRIES: Final = (10_000.0, 50_000.0)
"""A second, and at once."""


@dataclass(slots=True)
class Pace:
    """The pace of everybody who reads the log; callers are named by their certificates."""

    requests: Allowance = field(default_factory=lambda: Allowance(*REQUESTS))
    entries: Allowance = field(default_factory=lambda: Allowance(*ENTRIES))

    def admit(self, caller: str, *, at_s: float) -> None:
        """Count a request, or raise Unavailable.

        1. It has a request left. Stops one caller from keeping the coordinator busy.
        2. It owes no entries. Stops it from reading faster in several streams.
        """
        for wait_s, what in (
            (self.requests.wait_s(caller, at_s=at_s), "requests"),
            (self.entries.wait_s(caller, at_s=at_s), "entries"),
        ):
            if wait_s > 0:
                raise Unavailable(
                    f"{caller} asked for more {what} than one caller may in this time",
                    todo=f"Ask again in {ceil(wait_s)} s; others are answered meanwhile.",
                    rule="too-fast",
                )
        self.requests.take(caller, 1, at_s=at_s)

    def send(self, caller: str, count: int, *, at_s: float) -> float:
        """Count entries that are sent; return for how many seconds the next ones wait."""
        self.entries.take(caller, count, at_s=at_s)
        return self.entries.wait_s(caller, at_s=at_s)
