"""SCAFFOLD at a site (Karimireddy 2020, Algorithm 1, option II).

    y ← y − η (g(y) − c_i + c)
    c_i⁺ = c_i − c + (x − y) / (K η)

K is the number of steps truly taken, empty batches included. c_i⁺ comes from y, which under
differential privacy is a release already; it is never computed from a clean gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A step corrected for the drift of this site; a control variate of None is zero."""

    x: Mapping[str, Tensor]
    c: Mapping[str, Tensor] | None
    c_i: Mapping[str, Tensor] | None
    rate: float

    def correction(self, y: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return c − c_i."""
        return {name: self._drift(name) for name in y}

    def finish(self, y: Mapping[str, Tensor], *, steps: int) -> dict[str, Tensor]:
        """Return c_i⁺ after K = steps ≥ 1 steps."""
        if steps < 1:
            raise ValueError("a control variate follows from at least one step")
        scale = steps * self.rate
        return {
            name: (self.x[name] - tensor) / scale - self._drift(name)
            for name, tensor in y.items()
        }

    def _drift(self, name: str) -> Tensor:
        x = self.x[name]
        c = x.new_zeros(x.shape) if self.c is None else self.c[name]
        return c - (x.new_zeros(x.shape) if self.c_i is None else self.c_i[name])
