"""The site's half of each strategy: what corrects a local step, and what a site keeps of it.

One file per paper, under the same name as the coordinator's half. A rule works on released
quantities only (x, c, c_i, and y after the noise), so that it is post-processing and costs no
ε: the training loop adds `correction` to each gradient after the noise, then steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from protos.errors import Refused
from site_agent.strategies.fedavg import FedAvg
from site_agent.strategies.fedprox import FedProx
from site_agent.strategies.scaffold import Scaffold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    Make = Callable[["Strategy", Tensors, Tensors | None, Tensors | None, float], "LocalRule"]


class Strategy(Protocol):
    """What an agreement says of its strategy, as far as a site's rule needs it."""

    @property
    def name(self) -> str:
        """`fedavg`, `fedprox` or `scaffold`."""

    @property
    def mu(self) -> float | None:
        """FedProx's μ ≥ 0; None for the others."""


class LocalRule(Protocol):
    """What a strategy does at a site beside the gradient step."""

    def correction(self, y: Tensors) -> Tensors | None:
        """Return what is added to each gradient at y (by name), or None for nothing.

        y holds the detached parameters before the step; nothing in it is changed.
        """

    def finish(self, y: Tensors, *, steps: int) -> Tensors | None:
        """Return the new control variate c_i⁺ after `steps` ≥ 1 steps, or None."""


def local_rule(
    strategy: Strategy, *, x: Tensors, c: Tensors | None, c_i: Tensors | None, rate: float
) -> LocalRule:
    """Return the site's rule for one task.

    Args:
        strategy: The agreement's strategy.
        x: The global model, by parameter name.
        c: The server's control variate; None at the start stands for zero.
        c_i: This site's own; None at the start stands for zero.
        rate: η of plain SGD, constant during the task.

    Raises:
        Refused: No strategy of that name is known here.
    """
    make = _RULES.get(strategy.name)
    if make is None:
        raise Refused(
            f"no strategy is called {strategy.name!r}; known are {', '.join(sorted(_RULES))}",
            rule="unknown-strategy",
        )
    return make(strategy, x, c, c_i, rate)


_RULES: Final[Mapping[str, Make]] = {
    "fedavg": lambda _strategy, _x, _c, _c_i, _rate: FedAvg(),
    "fedprox": lambda strategy, x, _c, _c_i, _rate: FedProx(x=x, mu=strategy.mu or 0.0),
    "scaffold": lambda _strategy, x, c, c_i, rate: Scaffold(x=x, c=c, c_i=c_i, rate=rate),
}
