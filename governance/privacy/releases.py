"""What was released from a cohort, apart from what it costs.

One release is `steps` times the Poisson-subsampled Gaussian mechanism on a cohort's patients:
each takes part in a step with probability q, its clipped gradient has norm at most C, the noise
has standard deviation σC. Figures of quality with noise are the same with q = 1, and so are
statistics: C is then the sensitivity of their vector. What any number of them costs is
`accountant`'s to say.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.agreement.schema import Agreement

LOADER = "poisson"
ALL = "all"
"""The loader of a release that every patient is in: q = 1."""
UNIT = "patient"
TRAINING = "training"
METRICS = "metrics"
STATISTICS = "statistics"
PURPOSES = (TRAINING, METRICS, STATISTICS)
"""What a release is for; a reservation that names none is for training."""
_MOST_STEPS = 10**12


@dataclass(frozen=True, slots=True)
class Release:
    """Steps of the subsampled Gaussian mechanism that came out of a cohort, or will.

    Args:
        sampling_rate: q, the public probability of a patient to be in a step; in [0, 1].
        noise_multiplier: σ, noise over clip; 0 means none at all.
        steps: How many times, empty batches included.

    Raises:
        ValueError: A value is outside its range.
    """

    sampling_rate: float
    noise_multiplier: float
    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "sampling_rate", float(self.sampling_rate))
        object.__setattr__(self, "noise_multiplier", float(self.noise_multiplier))
        if not 0 <= self.sampling_rate <= 1:
            raise ValueError("a sampling rate must be between 0 and 1")
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier >= 0):
            raise ValueError("a noise multiplier must be finite and not negative")
        if not 0 <= self.steps <= _MOST_STEPS:
            raise ValueError(f"steps must be between 0 and {_MOST_STEPS}")

    def times(self, rounds: int) -> Release:
        """Return this release repeated."""
        return Release(self.sampling_rate, self.noise_multiplier, self.steps * rounds)


def merged(releases: Iterable[Release]) -> tuple[Release, ...]:
    """Return one release for each (q, σ), in order, without those that release nothing."""
    steps: Counter[tuple[float, float]] = Counter()
    for release in releases:
        steps[release.sampling_rate, release.noise_multiplier] += release.steps
    return tuple(
        Release(q, sigma, n) for (q, sigma), n in sorted(steps.items()) if n > 0 and q > 0
    )


def declared(patients: int) -> int:
    """Return the number of patients as a site declares it: to the nearest ten, at least ten."""
    return max(10, 10 * ((patients + 5) // 10))


def expected_batch(sampling_rate: float, declared_patients: int) -> Decimal:
    """Return L = q × declared patients, exactly: the public divisor of every step's sum."""
    return Decimal(decimal_text(sampling_rate)) * declared_patients


def of_a_round(agreement: Agreement) -> Release:
    """Return what one site releases in one round of this agreement.

    Without privacy it is a release without noise, whose cost is infinite.
    """
    local = agreement.round.local
    if agreement.privacy is None or local.sampling_rate is None:
        return Release(1.0, 0.0, local.steps or local.epochs or 1)
    return Release(float(local.sampling_rate), float(agreement.sigma), local.steps or 0)


def of_an_evaluation(agreement: Agreement) -> Release:
    """Return what one site releases with the noised figures of one model."""
    return Release(1.0, float(agreement.metrics_sigma), 1)


def of_all_evaluations(agreement: Agreement) -> tuple[Release, ...]:
    """Return what the schedule's noised figures release; nothing where they are exact."""
    if not agreement.metrics_noised:
        return ()
    return (of_an_evaluation(agreement).times(agreement.evaluations),)


def of_the_statistics(agreement: Agreement) -> tuple[Release, ...]:
    """Return what federated statistics release, once; nothing where references are used."""
    if not agreement.statistics_federated:
        return ()
    return (Release(1.0, float(agreement.statistics_sigma), 1),)


def of_all_beside_training(agreement: Agreement) -> tuple[Release, ...]:
    """Return what the schedule releases beside its training: statistics and noised figures."""
    return (*of_the_statistics(agreement), *of_all_evaluations(agreement))


def purpose_of(body: Mapping[str, Any]) -> str:
    """Return what a `budget-reserved` statement's body says it pays for."""
    return str(body.get("purpose", TRAINING))


def of_statement(body: Mapping[str, Any]) -> Release:
    """Read the release that a `budget-reserved` statement's body tells of.

    Raises:
        PeerFault: It is not a release, or not one of patients by Poisson sampling, nor one that
            says what else it is for and that all patients are in.
    """
    drawn = LOADER if purpose_of(body) == TRAINING else ALL
    if body.get("loader") != drawn or body.get("unit") != UNIT:
        raise PeerFault(
            "a reservation is not of Poisson-sampled patients", rule="malformed-release"
        )
    if drawn == ALL and (body.get("sampling_rate"), body.get("steps")) != ("1", 1):
        raise PeerFault(
            "a reservation of all patients is not of one step at rate 1",
            rule="malformed-release",
        )
    steps = body.get("steps")
    try:
        if type(steps) is int:
            return Release(float(body["sampling_rate"]), float(body["noise_multiplier"]), steps)
    except (KeyError, TypeError, ValueError):
        pass
    raise PeerFault(
        "a reservation has no valid sampling rate, noise and steps", rule="malformed-release"
    )


def decimal_text(value: float) -> str:
    """Write a number as the shortest plain decimal that reads back as the same number."""
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
