"""The coordinator's half of each strategy: how the sites' updates become the next model.

One file per paper, under the same name as the site's half. A rule computes one chunk at a time
in float64 and sees the sites in name order, so that the same updates give the same bits and
memory does not grow with the model. All of these are linear in the uploads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from coordinator.strategies.fedavg import FedAvg
from coordinator.strategies.fedprox import FedProx
from coordinator.strategies.scaffold import Scaffold
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Chunk = NDArray[np.float32]
    Wide = NDArray[np.float64]


STATE_PART: Final = "c"


class Strategy(Protocol):
    """What an agreement says of its strategy, as far as the coordinator's rule needs it."""

    @property
    def name(self) -> str:
        """`fedavg`, `fedprox` or `scaffold`."""

    @property
    def server_rate(self) -> float:
        """η_s > 0; the papers have 1."""


class ServerRule(Protocol):
    """What a strategy does with one chunk of the model and of every site's update."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The prefixes of an update's tensors: y, and c where there is a state."""

    def model(self, x: Chunk, dy: Iterable[Chunk], n: Sequence[int]) -> Wide:
        """Return the next x from each site's Δy = y − x and weight n ≥ 1."""

    def state(self, c: Chunk, dc: Iterable[Chunk], *, share: float) -> Wide:
        """Return the next c from each site's Δc; only asked of a rule with the part c.

        `share` is how many of the roster's sites are in.
        """


def server_rule(strategy: Strategy) -> ServerRule:
    """Return the coordinator's rule.

    Raises:
        Refused: No strategy of that name is known here.
    """
    make = _RULES.get(strategy.name)
    if make is None:
        raise Refused(
            f"no strategy is called {strategy.name!r}; known are {', '.join(sorted(_RULES))}",
            rule="unknown-strategy",
        )
    return make(strategy.server_rate)


def initial_state(
    strategy: Strategy, model: Mapping[str, Chunk]
) -> dict[str, NDArray[np.float32]] | None:
    """Return the strategy's state before the first round: c = 0, or None for those without."""
    if STATE_PART not in server_rule(strategy).parts:
        return None
    return {f"{STATE_PART}/{name}": np.zeros(x.shape, np.float32) for name, x in model.items()}


_RULES: Final[Mapping[str, Callable[[float], ServerRule]]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "scaffold": Scaffold,
}
