"""FedProx at a site: y ← y − η (g(y) + μ (y − x)) (Li 2020, equation 2).

With μ = 0 it is FedAvg bit for bit; with ημ = 1 each step forgets the last: y = x − η g(y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FedProx:
    """A step pulled back towards the global model x by μ ≥ 0."""

    x: Mapping[str, Tensor]
    mu: float

    def correction(self, y: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Return μ (y − x)."""
        if self.mu == 0:  # adding zeros would turn a gradient of −0 into +0
            return None
        return {name: self.mu * (y[name] - self.x[name]) for name in y}

    def finish(self, y: Mapping[str, Tensor], *, steps: int) -> None:
        """Keep nothing."""
