"""How fast a peer may speak, and how often the same is logged of it.

What comes faster is read later, and waits at the peer; what is refused again and again fills no
disk with lines that say so. Pure: the time is a parameter, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

QUIET_S: Final = 60.0
_KEPT: Final = 10_000


@dataclass(slots=True)
class Pace:
    """So many messages in each second of one session; time is given, in seconds."""

    per_second: int
    _since: float = 0.0
    _count: int = 0

    def wait_s(self, now: float) -> float:
        """Count a message, and return for how long to wait before it is looked at."""
        if now >= self._since + 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self.per_second:
            return max(0.0, self._since - now)
        self._since, self._count = self._since + 1, 1
        return self._since - now


@dataclass(slots=True)
class Hush:
    """Says the same of the same peer once in a minute, and how often it was not said."""

    _said: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def says(self, what: str, of: str, *, at_s: float) -> Mapping[str, int] | None:
        """Return what to add to a line of the log, None where the line is not written."""
        since_s, unsaid = self._said.get((what, of), (-QUIET_S, 0))
        if at_s - since_s < QUIET_S:
            self._said[what, of] = since_s, unsaid + 1
            return None
        if len(self._said) >= _KEPT:
            self._said.clear()
        self._said[what, of] = at_s, 0
        return {"unsaid": unsaid} if unsaid else {}
