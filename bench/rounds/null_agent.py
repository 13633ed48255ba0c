"""`concilium-site` whose worker trains nothing: the model is as it came, and an update is zero.

All else is the agent itself: sessions, transfers, statements, its copy of the ledger, its
cosignatures. What a task makes leaves at once, not at a whole second: no patient is behind
it. Run as a script in the program's place.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from governance import tensors
from governance.figures import BINS, Figures
from site_agent import worker
from site_agent.jobs import Evaluated, EvaluateJob, Trained, TrainJob
from site_agent.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable

_HALF = (5, *(0,) * (BINS - 1))
FIGURES = Figures(
    kind="binary",
    positives=_HALF,
    negatives=_HALF,
    correct=5,
    log_loss_sum=7.0,
    squared_error_sum=2.5,
    count=10,
)


async def start(_worker: worker.Worker) -> None:
    """Start no child."""


async def train(
    _worker: worker.Worker, job: TrainJob, _progress: Callable[[int], None]
) -> Trained:
    """Return the update of a model that is as it came."""
    shapes = tensors.shapes(job.model)
    nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    blob = tensors.write(tensors.add_prefix("y", nothing), job.out)
    return Trained(tensors.path_of(job.out, blob.digest), blob.digest, blob.size, 1, None)


async def evaluate(_worker: worker.Worker, _job: EvaluateJob) -> Evaluated:
    """Return figures that say nothing."""
    return Evaluated(FIGURES)


def take_over(trains: Any = train) -> None:  # noqa: ANN401 - a method of Worker
    """Have the agent of this process work so, or make its updates in another way."""
    worker.Worker.start = start
    worker.Worker.train = trains
    worker.Worker.evaluate = evaluate
    Workshop.train = Workshop._made  # noqa: SLF001 - without the rounding up
    Workshop.evaluate = Workshop._evaluate  # noqa: SLF001


if __name__ == "__main__":
    from site_agent.__main__ import main

    if sys.argv[1:2] == ["run"]:
        take_over()
    main()
