"""The site's own budget, decided before anything is released: reserve, then train.

A reservation is in the site's store and in the log before the first batch. It is never
refunded: a crash, an abandoned round or a refused contribution keeps it, and so does a new
agreement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from governance.counts import count
from governance.privacy.accountant import epsilon, format_epsilon, rounds_within
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.privacy.releases import Release


@dataclass(frozen=True, slots=True)
class Reservation:
    """A release that is paid for; `epsilon_total` is what the cohort has then spent in all."""

    task: str
    release: Release
    delta: float
    epsilon_total: float


@dataclass(frozen=True, slots=True)
class Budget:
    """What was ever reserved from a cohort: over rounds, retries, agreements and federations.

    Args:
        releases: One for each reservation, settled or not.
        tasks: The tasks that they were reserved for.
    """

    releases: tuple[Release, ...] = ()
    tasks: frozenset[str] = frozenset()

    def spent(self, delta: float) -> float:
        """Return ε of everything reserved so far at this δ."""
        return epsilon(self.releases, delta)

    def reserve(
        self, task: str, release: Release, cap: float, delta: float, *, caps: str = ""
    ) -> Reservation:
        """Return the reservation of one more release, or refuse it.

        Args:
            task: The task's id; one reservation pays for one training.
            release: What the task would release when it completes.
            cap: The largest ε; infinite only where the site's own file permits no noise.
            delta: δ of the cap, in (0, 1).
            caps: Whose caps this one is the lowest of, for the refusal.

        Raises:
            Refused: `already-reserved`, or `budget-exhausted` with what is left.
        """
        if task in self.tasks:
            raise Refused(
                "this task has its reservation already, and one pays for one training",
                rule="already-reserved",
            )
        total = epsilon([*self.releases, release], delta)
        if total > cap:
            raise self._exhausted(release, total, cap, delta, caps)
        return Reservation(task, release, delta, total)

    def after(self, reservation: Reservation) -> Budget:
        """Return the budget with this reservation in it."""
        return replace(
            self,
            releases=(*self.releases, reservation.release),
            tasks=self.tasks | {reservation.task},
        )

    def rounds_left(self, release: Release, cap: float, delta: float) -> int:
        """Return how many more rounds of this release the cap bears."""
        return rounds_within(release, already=self.releases, cap=cap, delta=delta)

    def _exhausted(
        self, release: Release, total: float, cap: float, delta: float, caps: str
    ) -> Refused:
        spent = self.spent(delta)
        left = max(cap - spent, 0.0)
        steps = rounds_within(
            replace(release, steps=1), already=self.releases, cap=cap, delta=delta
        )
        return Refused(
            f"this task would bring ε to {format_epsilon(total)}, past the cap of {cap:g} "
            f"(δ = {delta:g}{f'; {caps}' if caps else ''}); spent so far: "
            f"{format_epsilon(spent)}",
            todo=f"Left: ε {left:.4f}, enough for {min(steps, release.steps)} of its "
            f"{count(release.steps, 'step')}. Only a new agreement with fewer steps a round or "
            "more noise, or with a higher cap to which the officer consents, lets this site "
            "go on.",
            rule="budget-exhausted",
        )
