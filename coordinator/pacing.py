"""How fast one site may speak: what comes faster is read later, and waits at the site."""

from __future__ import annotations

from dataclasses import dataclass


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
