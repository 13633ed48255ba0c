"""What releases cost: (ε, δ) of any number of Poisson-subsampled Gaussian mechanisms.

Privacy loss distributions (Koskela et al. 2020; connect-the-dots: Doroshenko et al. 2022) by
dp-accounting, for the addition or removal of one patient. Discretised pessimistically, so that
the figure is an upper bound. It is the one figure used everywhere: plan, review, caps, the stop
before a task, statements and auditors.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from governance.privacy.releases import Release, merged
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_FINE: Final = 1e-4
_COARSE: Final = 1e-3
_INTERVALS: Final = ((0.3, _FINE), (0.05, _COARSE), (0.01, 1e-2))
"""From which σ on which discretisation fits in memory; it stays an upper bound at each."""
_BEYOND_EVERY_CAP: Final = 1000.0
"""From this ε on a looser bound says it: a distribution of such losses fills the memory."""
LARGEST_SIGMA: Final = 1000.0
_LITTLE: Final = 10
"""Thousandths of σ that no target bears."""
MOST_ROUNDS: Final = 10_000
_PLACES: Final = Decimal("0.0001")


def epsilon(releases: Iterable[Release], delta: float) -> float:
    """Return ε at this δ of all releases together; infinite where one has (next to) no noise.

    Args:
        releases: All that ever came out of the cohort, in any order.
        delta: In (0, 1).

    Raises:
        ValueError: δ is outside its range.
    """
    if not 0 < delta < 1:
        raise ValueError("δ must be between 0 and 1")
    return _epsilon(merged(releases), float(delta))


def costs_more_than(releases: Iterable[Release], delta: float, limit: float) -> bool:
    """Tell whether ε is past a limit, by upper bounds of it first: each for less work.

    One in closed form, then coarser steps for a tenth of the work, then the figure itself.
    """
    made = merged(releases)
    noised = all(each.noise_multiplier > 0 for each in made)
    if noised and _zero_concentrated(made, delta) <= limit:
        return False
    return _epsilon(made, float(delta), _COARSE) > limit and epsilon(made, delta) > limit


def load() -> None:
    """Load the library that counts, which takes most of a second, before it is needed."""
    import dp_accounting.pld  # noqa: F401


def rounds_within(
    release_per_round: Release,
    *,
    already: Sequence[Release] = (),
    cap: float,
    delta: float,
    most: int = MOST_ROUNDS,
) -> int:
    """Return how many more rounds of this release fit under the cap, `most` if more do.

    It is found with coarse figures and then settled with exact ones.
    """

    def fits(rounds: int, least: float) -> bool:
        releases = merged([*already, release_per_round.times(rounds)])
        noised = all(each.noise_multiplier > 0 for each in releases)
        if noised and _zero_concentrated(releases, delta) <= cap:
            return True  # the exact figure is below any bound
        return _epsilon(releases, float(delta), least) <= cap

    rounds = _last_that(lambda n: fits(n, _COARSE), most)
    while rounds > 0 and not fits(rounds, _FINE):
        rounds -= 1
    return _last_that(lambda n: fits(n, _FINE), most, known=rounds)


def noise_for(
    target_epsilon: float, *, sampling_rate: float, steps: int, delta: float
) -> float:
    """Return the smallest σ, in thousandths and rounded up, that keeps the steps within ε.

    Raises:
        Refused: No σ up to 1000 does; says the lowest ε there is.
    """
    return _noise_for(float(target_epsilon), float(sampling_rate), steps, float(delta))


def format_epsilon(value: float) -> str:
    """Write ε as a decimal with four places, rounded up; `inf` where it is unbounded."""
    if math.isinf(value):
        return "inf"
    return format(Decimal(repr(value)).quantize(_PLACES, rounding=ROUND_CEILING), "f")


@lru_cache(maxsize=4096)
def _epsilon(releases: tuple[Release, ...], delta: float, least: float = _FINE) -> float:
    if not releases:
        return 0.0
    sigma = min(release.noise_multiplier for release in releases)
    interval = next((max(step, least) for from_, step in _INTERVALS if sigma >= from_), None)
    if interval is None:
        return math.inf
    rough = _renyi(releases, delta)
    if rough > _BEYOND_EVERY_CAP:
        return rough
    total = None
    for release in releases:
        part = _composed(release, interval)
        total = part if total is None else total.compose(part)
    assert total is not None
    return float(total.get_epsilon_for_delta(delta))


def _renyi(releases: tuple[Release, ...], delta: float) -> float:
    """Return an upper bound of ε that costs nothing, or next to nothing where it is large.

    First without the gain of sampling, then Rényi privacy with it (Mironov et al. 2019).
    """
    bound = _zero_concentrated(releases, delta)
    if bound <= _BEYOND_EVERY_CAP:
        return bound
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    with _unsaid():
        for release in releases:
            step = GaussianDpEvent(release.noise_multiplier)
            sampled = PoissonSampledDpEvent(release.sampling_rate, step)
            accountant.compose(sampled, release.steps)
        return min(bound, float(accountant.get_epsilon(delta)))


@contextmanager
def _unsaid() -> Iterator[None]:
    """Keep the library from warning that it left orders out: the others bound ε as well."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _zero_concentrated(releases: tuple[Release, ...], delta: float) -> float:
    """Return an upper bound of ε without the gain of sampling (Bun and Steinke 2016)."""
    rho = sum(release.steps / (2 * release.noise_multiplier**2) for release in releases)
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


@lru_cache(maxsize=8)
def _composed(release: Release, interval: float) -> Any:  # noqa: ANN401 -- a library's, untyped
    one = _one_step(release.sampling_rate, release.noise_multiplier, interval)
    return one.self_compose(release.steps)


@lru_cache(maxsize=32)
def _one_step(q: float, sigma: float, interval: float) -> Any:  # noqa: ANN401 -- as above
    from dp_accounting.pld import privacy_loss_distribution as pld

    return pld.from_gaussian_mechanism(
        standard_deviation=sigma,
        sampling_prob=q,
        value_discretization_interval=interval,
        use_connect_dots=True,
    )


@lru_cache(maxsize=256)
def _noise_for(target: float, q: float, steps: int, delta: float) -> float:
    if not (target > 0 and math.isfinite(target)):
        raise Refused("a target for ε must be positive and finite", rule="unfittable-target")

    def fits(thousandths: int, interval: float) -> bool:
        release = Release(q, thousandths / 1000, steps)
        return _epsilon(merged([release]), delta, interval) <= target

    most = round(LARGEST_SIGMA * 1000)
    coarse = _COARSE if fits(most, _COARSE) else _FINE
    if not fits(most, coarse):
        lowest = _epsilon(merged([Release(q, LARGEST_SIGMA, steps)]), delta)
        raise Refused(
            f"no noise keeps {steps} steps at sampling rate {q:g} within ε = {target:g}",
            todo=f"The lowest possible in so many is ε = {format_epsilon(lowest)}.",
            rule="unfittable-target",
        )
    low, high = _LITTLE, most  # thousandths: low never fits, high does
    while high - low > 1:
        middle = math.isqrt(low * high) if high > 2 * low else (low + high) // 2
        low, high = (low, middle) if fits(middle, coarse) else (middle, high)
    return _settled(high, lambda n: fits(n, _FINE)) / 1000


def _settled(high: int, fits: Callable[[int], bool]) -> int:
    """Return the least n near `high` that fits, by an exact test of which `high` is a guess."""
    while not fits(high):
        high += 1
    low, step = high - 1, 1
    while low > _LITTLE and fits(low):
        low, high, step = max(_LITTLE, low - step), low, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _last_that(fits: Callable[[int], bool], most: int, *, known: int = 0) -> int:
    """Return the largest n ≤ `most` for which `fits`, a monotone test, holds; `known` holds."""
    low, step = known, 1
    while low + step <= most and fits(low + step):
        low, step = low + step, step * 2
    high = min(low + step, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
