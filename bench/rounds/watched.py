"""What the programs of a rehearsal take while it runs: processor time, and memory of their own.

Both are the kernel's: `utime` and `stime` of /proc/PID/stat, `Anonymous` of
/proc/PID/smaps_rollup, looked at a few times a second. Mapped files are not counted, since the
kernel may drop them.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

COORDINATOR: Final = "coordinator"
AGENT: Final = "agent"
_VERBS: Final = {"serve": COORDINATOR, "run": AGENT}
_LOOK_EVERY_S: Final = 0.1
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Seen:
    """What was seen of each process: its role; (time, processor seconds); the most memory."""

    roles: dict[int, str] = field(default_factory=dict)
    busy: dict[int, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    memory: dict[int, int] = field(default_factory=dict)

    def peak_bytes(self, role: str) -> int:
        """Return the most memory of its own that a process of this role had."""
        return max(most for pid, most in self.memory.items() if self.roles[pid] == role)

    def busy_s(self, role: str, begin: float, end: float) -> float:
        """Return the processor time between two moments, the mean of this role's processes."""
        taken = [
            _at(looks, end) - _at(looks, begin)
            for pid, looks in self.busy.items()
            if self.roles[pid] == role
        ]
        return sum(taken) / len(taken)


def _at(looks: list[tuple[float, float]], moment: float) -> float:
    place = min(bisect_left(looks, (moment, 0.0)), len(looks) - 1)
    return looks[place][1]


@contextmanager
def watched(folder: Path) -> Iterator[Seen]:
    """Watch the programs that name a folder in their command while the block runs."""
    seen, over = Seen(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY_S):
            for path in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, ProcessLookupError):
                    _look(seen, path, str(folder))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def _look(seen: Seen, process: Path, folder: str) -> None:
    pid = int(process.name)
    if pid not in seen.roles:
        words = (process / "cmdline").read_text().split("\0")
        verb = next((word for word in words if word in _VERBS), None)
        if verb is None or not any(folder in word for word in words):
            return
        seen.roles[pid] = _VERBS[verb]
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    seen.busy[pid].append((time.time(), sum(map(int, ticks)) / _TICKS))
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            most = int(line.split()[1]) * 1024
            seen.memory[pid] = max(most, seen.memory.get(pid, 0))
