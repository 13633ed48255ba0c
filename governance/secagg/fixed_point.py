"""Updates as integers modulo 2³², so that masks cancel exactly and the sum is what it would be.

    v = w · rint(clip(x, ±B) · 2ᶠ)  mod 2³²,    Σ v / 2ᶠ / Σ w = the weighted mean

The sum of N sites with weights of at most W never wraps, as N·W·B·2ᶠ + N·W/2 < 2³¹; or 2ʳ⁻¹,
where a vector has but r bits for each coordinate: what is summed modulo 2³² is summed modulo 2ʳ
as well. A value
beyond the bound saturates and is counted. Rounding moves the mean by at most 2⁻⁽ᶠ⁺¹⁾ in each
coordinate: every site's error is at most half a step, and the mean weighs the errors alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from governance.compression import bits as narrow

if TYPE_CHECKING:
    from numpy.typing import NDArray

RING_BITS: Final = 32
MOST_SITES: Final = 100
_AT_ONCE: Final = 1 << 17
"""Coordinates at a time: what is worked on stays in the cache."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What all sites of a sum agree on.

    Args:
        sites: N, how many there are at most.
        weight: W, the largest weight, an integer.
        bound: B > 0, the largest absolute value of a coordinate.
        fraction_bits: f, how many binary digits stand behind the point; may be negative.
        bits: r, how many bits a coordinate has, 1 to 32.

    Raises:
        ValueError: a sum could wrap.
    """

    sites: int
    weight: int
    bound: float
    fraction_bits: int
    bits: int = RING_BITS

    def __post_init__(self) -> None:
        if not 1 <= self.sites <= MOST_SITES or self.weight < 1 or not 0 < self.bound < np.inf:
            raise ValueError("a scale is of 1 to 100 sites, a weight of 1 or more, a bound")
        if not 1 <= self.bits <= RING_BITS:
            raise ValueError("a coordinate has 1 to 32 bits")
        if not _fits(self.sites, self.weight, self.bound, self.fraction_bits, self.bits):
            raise ValueError(
                f"a sum of {self.sites} sites could wrap: with weights of {self.weight} and "
                f"values of {self.bound:g}, {self.fraction_bits} digits are too many"
            )

    @classmethod
    def finest(cls, *, sites: int, weight: int, bound: float) -> Scale:
        """Return the scale with as many digits as fit."""
        digits = RING_BITS + max(0, -math.frexp(bound)[1] + 1)
        while not _fits(sites, weight, bound, digits):
            digits -= 1
        return cls(sites, weight, bound, digits)

    @property
    def rounding(self) -> float:
        """By how much a coordinate of the mean is off at most, where nothing saturates."""
        return 2.0 ** -(self.fraction_bits + 1)


def encode(
    values: NDArray[np.floating], weight: int, scale: Scale
) -> tuple[NDArray[np.uint32], int]:
    """Return a site's vector in the ring, and how many coordinates saturated.

    Args:
        values: One dimension, finite.
        weight: The site's, 1 to `scale.weight`.
        scale: What all agree on.
    """
    if not 1 <= weight <= scale.weight:
        raise ValueError(f"the weight {weight} is not within 1 and {scale.weight}")
    coded = np.empty(values.shape, dtype=np.uint32)
    saturated, step = 0, 2.0**scale.fraction_bits
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE].astype(np.float64)
        saturated += int(np.count_nonzero(np.abs(part) > scale.bound))
        np.clip(part, -scale.bound, scale.bound, out=part)
        part *= step
        np.rint(part, out=part)
        part *= weight
        coded[start : start + _AT_ONCE] = part.astype(np.int64).astype(np.uint32)
    return coded, saturated


def decode(total: NDArray[np.uint32], weight: int, scale: Scale) -> NDArray[np.float64]:
    """Return the weighted mean that a sum in the ring stands for; `weight` is Σ w."""
    whole = narrow.signed(total, scale.bits)
    return whole.astype(np.float64) / (2.0**scale.fraction_bits * weight)


def _fits(sites: int, weight: int, bound: float, digits: int, bits: int = RING_BITS) -> bool:
    """Tell whether N·W·B·2ᶠ + N·W/2 < 2ʳ⁻¹, exactly."""
    largest = Fraction(bound) * Fraction(2) ** digits + Fraction(1, 2)
    return sites * weight * largest < 1 << (bits - 1)
