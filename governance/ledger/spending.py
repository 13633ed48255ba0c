"""What every cohort has spent, recomputed from the reservations that its site had recorded.

A site states ε with each reservation and contribution; here it is computed anew from what the
entries say was released. A federation's log knows only its own releases: a site that trains in
several states more than is computed here, and never less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from governance.privacy.releases import TRAINING, Release, merged, of_statement, purpose_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLERANCE: Final = 1e-3
"""By how much two machines' numerics may differ on ε, and a stated figure be lower."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation, and ε as its site stated it for all of the cohort so far."""

    seq: int
    task: str
    round: int
    attempt: int
    cohort: str
    release: Release
    delta: float
    stated: float
    purpose: str = TRAINING


@dataclass(slots=True)
class Cohort:
    """What was ever reserved from one cohort, as few releases as it comes to.

    `apart` are those of each purpose alone; their ε do not add up to that of all.
    """

    releases: tuple[Release, ...] = ()
    reservations: int = 0
    last: Reserved | None = None
    apart: dict[str, tuple[Release, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Spending:
    """Cohorts by (site, cohort); cohorts of two sites never share patients.

    `lost` is δ and ε of what a site had spent by its own word when it accepted a new log, whose
    reservations are not all in the record.
    """

    cohorts: dict[tuple[str, str], Cohort] = field(default_factory=dict)
    lost: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def take(self, site: str, reserved: Reserved, *, reservations: int = 1) -> Cohort:
        """Add a reservation, or several with the sum of their steps; return its cohort."""
        cohort = self.cohorts.setdefault((site, reserved.cohort), Cohort())
        alone = cohort.apart.get(reserved.purpose, ())
        is_all = alone == cohort.releases
        cohort.releases = merged([*cohort.releases, reserved.release])
        cohort.apart[reserved.purpose] = (
            cohort.releases if is_all else merged([*alone, reserved.release])
        )
        cohort.reservations += reservations
        cohort.last = reserved
        return cohort

    def remember(self, site: str, spent: Mapping[str, Mapping[str, str]]) -> None:
        """Remember what a site had spent of each cohort by its own word."""
        for cohort, said in spent.items():
            self.lost[site, cohort] = (float(said["delta"]), float(said["epsilon"]))

    def forgets(self, site: str, reserved: Reserved) -> bool:
        """Tell whether a reservation states less than the site had spent before it was lost."""
        delta, epsilon = self.lost.get((site, reserved.cohort), (reserved.delta, 0.0))
        return delta == reserved.delta and reserved.stated + TOLERANCE < epsilon


def read(seq: int, body: Mapping[str, Any]) -> Reserved:
    """Read a reservation from the body of `budget-reserved`.

    Raises:
        PeerFault: it is no release of Poisson-sampled patients.
    """
    return Reserved(
        seq=seq,
        task=str(body["task"]),
        round=int(body["round"]),
        attempt=int(body["attempt"]),
        cohort=str(body["cohort"]),
        release=of_statement(body),
        delta=float(body["delta"]),
        stated=float(body["epsilon_total"]),
        purpose=purpose_of(body),
    )


def epsilon(releases: tuple[Release, ...], delta: float) -> float:
    """Return ε of these releases at this δ, by the one accountant."""
    from governance.privacy.accountant import epsilon as cost

    return cost(releases, delta)


def exceeds(releases: tuple[Release, ...], delta: float, claimed: float) -> bool:
    """Say whether the releases cost more than a claim, but for numerics."""
    from governance.privacy.accountant import costs_more_than

    return costs_more_than(releases, delta, claimed + TOLERANCE)
