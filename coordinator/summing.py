"""The one sum at work beside the conductor, which goes on taking what happens meanwhile.

A sum is of certain updates: when a site withdraws while it is made, its result is of other
updates than those that are in, and nobody takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.aggregate import Candidate
    from protos.words import SiteName


@dataclass(frozen=True, slots=True)
class What:
    """Which updates are summed."""

    round: int
    attempt: int
    sites: frozenset[SiteName]


_Outcome: TypeAlias = "Candidate | Exception"


class Summing:
    """Sums in a thread of its own, one at a time; `on_done` is called in the event loop."""

    def __init__(self) -> None:
        self.on_done: Callable[[], None] | None = None
        self._what: What | None = None
        self._outcome: _Outcome | None = None

    def outcome(self, what: What, work: Callable[[], Candidate]) -> Candidate | None:
        """Return the sum of these updates, or None while it is made; it is begun if need be.

        What a sum raised is raised here.
        """
        if self._what is None or (self._outcome is not None and self._what != what):
            self._begin(what, work)
            return None
        if self._what != what or self._outcome is None:
            return None
        outcome, self._what, self._outcome = self._outcome, None, None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _begin(self, what: What, work: Callable[[], Candidate]) -> None:
        self._what, self._outcome = what, None
        loop = asyncio.get_running_loop()

        def run() -> None:
            outcome = _outcome_of(work)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it
                loop.call_soon_threadsafe(self._done, outcome)

        # A daemon, so that a long sum does not hold up the end of the program.
        threading.Thread(target=run, name="sum", daemon=True).start()

    def _done(self, outcome: _Outcome) -> None:
        self._outcome = outcome
        if self.on_done is not None:
            self.on_done()


def _outcome_of(work: Callable[[], Candidate]) -> _Outcome:
    try:
        return work()
    except Exception as problem:  # noqa: BLE001 - raised where the sum is asked for
        return problem
