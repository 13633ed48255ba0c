"""SCAFFOLD at the coordinator (Karimireddy 2020, Algorithm 1).

    x ← x + η_s mean(y_i − x)
    c ← c + (∣S∣/N) mean(c_i⁺ − c_i)

S are the sites whose updates are in, N all sites of the roster: whoever missed the round keeps
its c_i, and c stays the mean of all of them. Δy is weighted as the agreement says (the paper:
equally), Δc never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from coordinator.strategies.fedavg import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Chunk = NDArray[np.float32]
    Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The mean of the sites' steps at rate η_s, and the mean of all control variates."""

    server_rate: float = 1.0

    parts: ClassVar[tuple[str, ...]] = ("y", "c")

    def model(self, x: Chunk, dy: Iterable[Chunk], n: Sequence[int]) -> Wide:
        """Return the next x from each site's Δy and weight n ≥ 1."""
        return x + self.server_rate * weighted_mean(dy, n)

    def state(self, c: Chunk, dc: Iterable[Chunk], *, share: float) -> Wide:
        """Return the next c from each site's Δc; `share` is ∣S∣/N."""
        S = list(dc)
        return c + share * weighted_mean(S, [1] * len(S))
