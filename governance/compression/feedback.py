"""Error feedback: what an update leaves out now is added to the next one (Seide 2014).

    wanted = Δ + e,    sent = compressed(wanted),    e⁺ = wanted − sent

so that after any number of rounds Σ sent + e = Σ Δ: nothing is lost, it comes later. Without
it a scheme that is not unbiased need not converge at all (Karimireddy 2019, section 3). An
update is cut to what an honest update of one round can be before it is sent; what is cut off is
no loss either.

Δ carries its noise already, so that sent and e are post-processing and cost no ε.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from governance.compression import int8
from governance.tensors import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Draws = Callable[[int], NDArray[np.float64]]
    """Returns so many numbers of [0, 1)."""

_ROOM: Final = 1 - 2.0**-20
"""What is cut to a length is cut below it by more than float32 rounds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one round's honest update stays within: ±`bound` each number, `norm` all of them."""

    bound: float = math.inf
    norm: float = math.inf


def send_chosen(wanted: Floats, at: NDArray[np.int64], limits: Limits) -> Floats:
    """Return the chosen coordinates of what is wanted, which is left with the rest.

    Args:
        wanted: Δ + e, one dimension, finite; changed to e⁺.
        at: Which coordinates are sent.
        limits: What is sent stays within them.
    """
    picked = wanted[at]
    norm = math.sqrt(sum(_squares(picked)))
    sent = picked * np.float32(_factor(norm, limits))
    np.clip(sent, *_between(limits.bound), out=sent)
    wanted[at] = picked - sent
    return sent


def send_rounded(wanted: Floats, digits: int, draws: Draws, limits: Limits) -> NDArray[np.int8]:
    """Return what is wanted in steps of 2⁻ᶠ, rounded by chance; it is left with the rest.

    Args:
        wanted: Δ + e, one dimension, finite; changed to e⁺.
        digits: f.
        draws: The site's own randomness.
        limits: What is rounded stays within them.
    """
    factor = _factor(math.sqrt(sum(_squares(wanted))), limits)
    low, high = _between(limits.bound)
    sent = np.empty(wanted.shape, dtype=np.int8)
    for part in chunks(wanted.size):
        some = np.clip(wanted[part] * np.float32(factor), low, high)
        sent[part] = int8.rounded(some, digits, draws(some.size))
        wanted[part] -= int8.values_of(sent[part], digits)
    return sent


def _factor(norm: float, limits: Limits) -> float:
    return 1.0 if norm <= limits.norm * _ROOM else limits.norm * _ROOM / norm


def _between(bound: float) -> tuple[np.float32, np.float32]:
    """Return the float32 that are furthest from zero and not beyond the bound."""
    high = np.float32(bound)
    if float(high) > bound:
        high = np.nextafter(high, np.float32(0))
    return -high, high


def _squares(values: Floats) -> Iterator[float]:
    for part in chunks(values.size):
        wide = values[part].astype(np.float64)
        yield float(np.dot(wide, wide))
