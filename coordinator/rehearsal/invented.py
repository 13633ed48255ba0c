"""Patients made from a data contract alone, for a rehearsal before any hospital is asked.

Nothing is known of anybody: values come from the contract's references, ranges, categories,
prevalence and shares of missing values, and from a seed. A few hidden factors, the same at
every hospital, make features move together (a factor model; Bartholomew, Knott and Moustaki
2011), and the outcome depends on the features, so that there is something to learn.

`skew` is how much hospitals differ: the logarithm of a hospital's size, the log-odds of its
outcome and the mean of each of its features, in standard deviations of the reference, each
strays by a normal deviate of that size, and stays within what the contract allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from governance.agreement import gate_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Data, Feature, Target
    from governance.agreement.schema import Agreement

    Floats = NDArray[np.float64]

FACTORS: Final = 3
"""How many hidden factors make features move together."""
SIGNAL: Final = 2.0
"""The standard deviation of the log-odds of the outcome that the features explain."""
EXPLAINED: Final = 0.8
"""The correlation of a quantity that is predicted with what the features explain of it."""
_COMMUNAL: Final = 0.5  # of a feature's variance: what the hidden factors account for
_FEWEST: Final = 100
_MOST_FOR_FIGURES: Final = 20_000
_MARGIN: Final = 0.1  # of the prevalence's range: how far hospitals keep from its ends
_CATEGORY_EVENNESS: Final = 5.0
_MISSING_SHARES: Final = (0.2, 0.8)  # of what may be missing
_PLACES_BELOW_STD: Final = 2
_MINIMUM: Final = 10  # of a class, where the agreement names none


@dataclass(frozen=True, slots=True)
class Hospital:
    """One hospital's invented patients, as the cells of its file, column by column."""

    name: str
    ids: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]

    @property
    def records(self) -> Iterator[tuple[str, ...]]:
        """Return one row a patient: identifier, then the columns in their order."""
        return zip(self.ids, *self.columns.values(), strict=True)


@dataclass(frozen=True, slots=True)
class _World:
    """What is the same everywhere: how features hang together, and what the outcome is of.

    Args:
        loadings: Of each feature on each hidden factor; features × `FACTORS`.
        slopes: Of what the outcome depends on; one a feature.
        shares: For each category feature the share of each of its values.
    """

    loadings: Floats
    slopes: Floats
    shares: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class _Lean:
    """How one hospital differs: its patients, its prevalence, and its features' means."""

    patients: int
    prevalence: float
    shifts: Floats


def hospitals(
    agreement: Agreement, names: Sequence[str], *, skew: float, seed: int
) -> Iterator[Hospital]:
    """Invent each hospital's patients; the same arguments give the same cells.

    Args:
        agreement: Whose data contract they keep.
        names: The hospitals, in order.
        skew: How much they differ; 0 makes them alike but for chance.
        seed: Of everything.
    """
    root = np.random.SeedSequence(seed)
    first, *each = root.spawn(1 + len(names))
    rng = np.random.default_rng(first)
    world = _world(agreement.data, rng)
    leans = _leans(agreement, len(names), skew=skew, rng=rng)
    for name, lean, stream in zip(names, leans, each, strict=True):
        yield _hospital(name, agreement.data, world, lean, np.random.default_rng(stream))


def _world(data: Data, rng: np.random.Generator) -> _World:
    width = len(data.features)
    raw = rng.normal(size=(width, FACTORS))
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    slopes = rng.normal(size=width)
    shares = {
        feature.name: rng.dirichlet(np.full(len(feature.values), _CATEGORY_EVENNESS))
        for feature in data.features
        if feature.kind == "category"
    }
    return _World(raw / norms * math.sqrt(_COMMUNAL), slopes, shares)


def _leans(
    agreement: Agreement, count: int, *, skew: float, rng: np.random.Generator
) -> list[_Lean]:
    """Return how the hospitals differ; the smallest has as many patients as it must."""
    prevalences = _prevalences(agreement.data.target, skew * rng.normal(size=count))
    relative = np.exp(skew * rng.normal(size=count))
    needed = np.array([_patients_needed(agreement, share) for share in prevalences])
    sizes = np.ceil(relative * np.max(needed / relative)).astype(np.int64)
    shifts = skew * rng.normal(size=(count, len(agreement.data.features)))
    parts = zip(sizes, prevalences, shifts, strict=True)
    return [_Lean(int(size), float(share), shift) for size, share, shift in parts]


def _prevalences(target: Target, deviates: Floats) -> Floats:
    if target.prevalence is None:
        return np.full(len(deviates), math.nan)
    low, high = target.prevalence
    margin = _MARGIN * (high - low)
    middle = (low + high) / 2
    odds = middle / (1 - middle) * np.exp(deviates)
    return np.clip(odds / (1 + odds), low + margin, high - margin)


def _patients_needed(agreement: Agreement, prevalence: float) -> int:
    """Return how many patients the contract wants, or the figures of quality if that is more.

    A class with fewer held-out patients than the agreement's minimum would be withheld.
    """
    floor = max(agreement.data.minimum_patients, _FEWEST)
    if math.isnan(prevalence):
        return floor
    rarer = min(prevalence, 1 - prevalence)
    minimum = agreement.privacy.metrics.minimum if agreement.privacy else _MINIMUM
    held_out = minimum + 3 * math.sqrt(minimum)
    return max(
        floor, min(_MOST_FOR_FIGURES, math.ceil(held_out / (gate_error.HELD_OUT * rarer)))
    )


def _hospital(
    name: str, data: Data, world: _World, lean: _Lean, rng: np.random.Generator
) -> Hospital:
    hidden = rng.normal(size=(lean.patients, FACTORS))
    own = rng.normal(size=(lean.patients, len(data.features)))
    latent = hidden @ world.loadings.T + own * math.sqrt(1 - _COMMUNAL) + lean.shifts
    target = _target(data.target, latent @ world.slopes, lean, rng)
    columns = {data.target.name: target}
    for place, feature in enumerate(data.features):
        cells = _cells(feature, latent[:, place], world)
        columns[feature.name] = _with_gaps(cells, feature, rng)
    ids = tuple(f"synthetic-{number + 1:07d}" for number in range(lean.patients))
    return Hospital(name, ids, columns)


def _target(
    target: Target, explained: Floats, lean: _Lean, rng: np.random.Generator
) -> tuple[str, ...]:
    """Return each patient's outcome, or quantity, from what the features say of it."""
    spread = float(explained.std()) or 1.0
    standard = (explained - explained.mean()) / spread
    if target.kind == "binary":
        latent = SIGNAL * standard + rng.logistic(size=len(standard))
        ill = _ill(target, lean)
        outcome = np.zeros(len(latent), dtype=np.int64)
        outcome[np.argsort(-latent, kind="stable")[:ill]] = 1
        return tuple(map(str, outcome.tolist()))
    noise = rng.normal(size=len(standard))
    latent = EXPLAINED * standard + math.sqrt(1 - EXPLAINED**2) * noise
    if target.values is not None:  # equally likely over all hospitals, in order of the latent
        places = np.floor(_normal_share(latent) * len(target.values)).astype(np.int64)
        return tuple(target.values[min(place, len(target.values) - 1)] for place in places)
    return _written(_quantity(target, latent), target)


def _ill(target: Target, lean: _Lean) -> int:
    """Return how many have the outcome: a share that the contract allows, if any is one."""
    assert target.prevalence is not None
    low, high = (share * lean.patients for share in target.prevalence)
    return min(max(round(lean.prevalence * lean.patients), math.ceil(low)), math.floor(high))


def _cells(feature: Feature, latent: Floats, world: _World) -> tuple[str, ...]:
    if feature.kind == "real":
        return _written(_quantity(feature, latent), feature)
    ends = np.cumsum(world.shares[feature.name])[:-1]
    places = np.searchsorted(ends, _normal_share(latent))
    return tuple(feature.values[place] for place in places)


def _quantity(field: Feature | Target, latent: Floats) -> Floats:
    """Return values of this mean and standard deviation within the range.

    Where the reference reaches below the range, as of a length whose deviation is as large as
    its mean, they are log-normal above the range's low end.
    """
    assert field.range is not None
    assert field.reference is not None
    low, high = field.range
    mean, std = field.reference.mean, field.reference.std
    above = mean - low
    if 0 < above < 2 * std:
        variance = math.log1p((std / above) ** 2)
        values = low + above * np.exp(math.sqrt(variance) * latent - variance / 2)
    else:
        values = mean + std * latent
    return _reflected(values, low, high)


def _reflected(values: Floats, low: float, high: float) -> Floats:
    """Fold what is outside back into the range, so that nothing piles up at its ends."""
    span = high - low
    folded: Floats = span - np.abs((values - low) % (2 * span) - span)
    return low + folded


def _written(values: Floats, field: Feature | Target) -> tuple[str, ...]:
    """Write values as finely as a hundredth of their standard deviation."""
    assert field.range is not None
    assert field.reference is not None
    places = _PLACES_BELOW_STD - math.floor(math.log10(field.reference.std))
    rounded = np.clip(np.round(values, places), *field.range)
    return tuple(f"{value:.12g}" for value in rounded.tolist())


def _with_gaps(
    cells: tuple[str, ...], feature: Feature, rng: np.random.Generator
) -> tuple[str, ...]:
    """Leave some cells empty: fewer than may be missing."""
    share = feature.missing.at_most * rng.uniform(*_MISSING_SHARES)
    gaps = set(rng.choice(len(cells), size=int(share * len(cells)), replace=False).tolist())
    return tuple("" if place in gaps else cell for place, cell in enumerate(cells))


def _normal_share(latent: Floats) -> Floats:
    """Return the standard normal distribution function."""
    erf: Any = np.vectorize(math.erf, otypes=[float])
    share: Floats = (1 + erf(latent / math.sqrt(2))) / 2
    return share
