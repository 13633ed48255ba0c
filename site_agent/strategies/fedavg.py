"""FedAvg at a site: y ← y − η g(y), and nothing beside it (McMahan 2017, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FedAvg:
    """The plain local step."""

    def correction(self, y: Mapping[str, Tensor]) -> None:
        """Correct nothing."""

    def finish(self, y: Mapping[str, Tensor], *, steps: int) -> None:
        """Keep nothing."""
