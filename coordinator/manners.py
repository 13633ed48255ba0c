"""How many calls one peer may have open, and how fast it makes new ones.

A site that asks without end must cost the others nothing: neither memory nor their turn. Pure:
the time is a parameter, in seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from coordinator.pace import Allowance
from protos.errors import Unavailable

CALLS_AT_ONCE: Final = 16
CALLS: Final = (100.0, 400.0)
SESSIONS: Final = (1.0, 30.0)
"""A second, and at once."""
_SESSION: Final = "concilium.v1.Federation/Session"


@dataclass(slots=True)
class Manners:
    """The calls of everybody; callers are named by their certificates."""

    calls: Allowance = field(default_factory=lambda: Allowance(*CALLS))
    sessions: Allowance = field(default_factory=lambda: Allowance(*SESSIONS))
    _open: Counter[str] = field(default_factory=Counter)

    def begin(self, caller: str, rpc: str, *, at_s: float) -> None:
        """Count a call that begins, or raise Unavailable; `end` is for those that began."""
        # 1. So many at once. Stops one peer from filling the memory with what it never reads.
        if self._open[caller] >= CALLS_AT_ONCE:
            raise Unavailable(f"{caller} has {CALLS_AT_ONCE} calls open", rule="too-many-calls")
        # 2. So many in a time. Stops it from keeping the coordinator busy with new ones.
        for allowance in (self.calls, *((self.sessions,) if rpc == _SESSION else ())):
            wait_s = allowance.wait_s(caller, at_s=at_s)
            if wait_s > 0:
                raise Unavailable(
                    f"{caller} makes more calls than one peer may in this time",
                    todo=f"Call again in {wait_s:.1f} s.",
                    rule="too-many-calls",
                )
            allowance.take(caller, 1, at_s=at_s)
        self._open[caller] += 1

    def end(self, caller: str) -> None:
        """Count a call that ended."""
        self._open[caller] -= 1
        if self._open[caller] <= 0:
            del self._open[caller]
