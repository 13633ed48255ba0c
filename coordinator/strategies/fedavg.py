"""FedAvg at the coordinator: x ← x + η_s Σ w_i (y_i − x) (McMahan 2017, Algorithm 1).

The paper has η_s = 1. w_i = n_i / Σ n_j over the updates that are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Chunk = NDArray[np.float32]
    Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FedAvg:
    """The weighted mean of the sites' steps, taken at rate η_s."""

    server_rate: float = 1.0

    parts: ClassVar[tuple[str, ...]] = ("y",)

    def model(self, x: Chunk, dy: Iterable[Chunk], n: Sequence[int]) -> Wide:
        """Return the next x from each site's Δy = y − x and weight n ≥ 1."""
        mean = weighted_mean(dy, n)
        mean *= self.server_rate
        mean += x
        return mean

    def state(self, c: Chunk, dc: Iterable[Chunk], *, share: float) -> Wide:
        """Keep no state: never called."""
        raise NotImplementedError


def weighted_mean(deltas: Iterable[Chunk], n: Sequence[int]) -> Wide:
    """Return Σ n_i Δ_i / Σ n_i in float64, summed in the order given; n_i Δ_i is exact."""
    total: Wide | None = None
    term: Wide | None = None  # one for all: new memory costs more than the sum
    for delta, weight in zip(deltas, n, strict=True):
        if total is None:
            total = np.multiply(delta, weight, dtype=np.float64)
            continue
        if term is None:
            term = np.empty_like(total)
        np.multiply(delta, weight, dtype=np.float64, out=term)
        total += term
    if total is None:
        raise ValueError("a mean of no update")
    total /= sum(n)
    return total
