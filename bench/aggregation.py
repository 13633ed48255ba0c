"""How fast updates are summed, beside what a numpy sum of as many numbers moves.

    python bench/aggregation.py [--parameters 10000000] [--sites 5]

The updates lie in files, as the spool has them, and the candidate is written, hashed and made
durable; the reference adds arrays that are in memory, and keeps nothing. The figure is
gigabytes of updates in a second of processor time, which other work on the machine leaves as
it is. The figures are appended to build/bench.json.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from logs.figures import figure_of, options, parsed, tell

from coordinator.aggregate import aggregate
from governance import tensors
from governance.agreement.load import load
from protos.words import SiteName

if TYPE_CHECKING:
    from collections.abc import Callable

BENCH: Final = "aggregation"
_TRIES: Final = 5
_DEMO: Final = Path(__file__).parents[1] / "configs" / "breast-cancer" / "agreement.yaml"


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--parameters", type=int, default=10**7)
    parser.add_argument("--sites", type=int, default=5)
    given = parsed(parser)
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), given.parameters, given.sites)
    tell("Aggregation", given.out, figures)
    return 0


def measured(folder: Path, parameters: int, sites: int) -> list[dict[str, Any]]:
    """Return how many gigabytes of updates are summed a second, beside numpy."""
    draw = np.random.default_rng(1)
    values = [draw.standard_normal(parameters, np.float32) for _ in range(sites)]
    model = _written(folder, {"w": values[0]})
    updates = {
        SiteName(f"site-{number}"): _written(folder, {"y/w": each})
        for number, each in enumerate(values)
    }
    strategy = load(_DEMO).agreement.strategy
    ours = _busy_s(
        lambda: aggregate(
            strategy,
            model,
            None,
            updates,
            dict.fromkeys(updates, 10),
            roster_size=sites,
            out=folder,
        )
    )
    total = np.zeros(parameters, np.float64)
    reference = _busy_s(lambda: _added(total, values))
    gigabytes = 4e-9 * parameters * sites
    case = f"{sites} sites, {parameters:,} parameters"
    rates = (gigabytes / ours, gigabytes / reference)
    return [figure_of(BENCH, case, "updates summed", "GB/s", rates)]


def _busy_s(doing: Callable[[], object]) -> float:
    """Return the processor seconds of the cheapest of some tries."""
    taken = []
    for _ in range(_TRIES):
        begun = time.process_time()
        doing()
        taken.append(time.process_time() - begun)
    return min(taken)


def _added(total: np.ndarray[Any, Any], values: list[np.ndarray[Any, Any]]) -> None:
    total[:] = 0
    for each in values:
        total += each


def _written(folder: Path, named: dict[str, Any]) -> Path:
    return tensors.path_of(folder, tensors.write(named, folder).digest)


if __name__ == "__main__":
    sys.exit(main())
