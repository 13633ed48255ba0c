"""int8: each number becomes one of 255 steps of a scale that all sites share.

    q = ⌊x·2ᶠ⌋ + (1 with probability x·2ᶠ − ⌊x·2ᶠ⌋),    E[q·2⁻ᶠ] = x where |x| ≤ 127·2⁻ᶠ

after QSGD (Alistarh 2017, section 3.1). f follows from the agreement's bound B on a coordinate,
which is public, and from no number of any patient: 127·2⁻ᶠ is the least such that is no less
than B. The steps are a power of two, so that q·2⁻ᶠ is a float32 and sums of it are exact.

Under masks w·q is summed modulo 2ʳ, with r the fewest bits in which N sites of weight W at most
can never wrap: N·W·(127 + ½) < 2ʳ⁻¹.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS: Final = 8
LARGEST: Final = 127


def digits_of(bound: float) -> int:
    """Return f, the most binary digits behind the point with which ±bound has 127 steps."""
    digits = math.floor(math.log2(LARGEST) - math.log2(bound))
    while bound * 2.0**digits > LARGEST:
        digits -= 1
    while bound * 2.0 ** (digits + 1) <= LARGEST:
        digits += 1
    return digits


def largest_of(digits: int) -> float:
    """Return the largest number of a scale with f digits."""
    return LARGEST * 2.0**-digits


def ring_bits(sites: int, weight: int) -> int:
    """Return r, the fewest bits in which a sum of so many sites does not wrap."""
    return (sites * weight * (2 * LARGEST + 1)).bit_length()


def rounded(
    values: NDArray[np.floating], digits: int, draws: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Return q of each number, up or down by chance; what lies beyond the scale saturates.

    Args:
        values: One dimension, finite.
        digits: f.
        draws: A number of [0, 1) for each, nobody's but the site's own.
    """
    scaled = values.astype(np.float64) * 2.0**digits
    np.clip(scaled, -LARGEST, LARGEST, out=scaled)
    low = np.floor(scaled)
    low += draws < scaled - low
    return low.astype(np.int8)


def values_of(coded: NDArray[np.int8], digits: int) -> NDArray[np.float32]:
    """Return the numbers that steps stand for, exactly."""
    return np.ldexp(coded.astype(np.float32), -digits)
