"""What a masked round of a hundred hospitals takes, step by step, where five of them drop out.

    python bench/hundred_sites.py [--sites 100] [--lost 5] [--parameters 100000]

Every hospital is an agent with its store, its copy of the ledger, its session over mutual TLS
and its masks; what its worker would train is drawn at random instead. All of them share one
process with the coordinator, so that a step takes as long as all agents' work in it, one after
the other. In the first step each agent also checks the ledger up to the round and declares its
cohort, as it does with or without masks. Those that are lost take the first two steps and send
no vector: their keys are put together again from the others' shares. The sum is held against
the plain one, bit for bit. Beside each step stands a raw round of as many sites and parameters
(`rounds/raw.py`); the figures are appended to build/bench.json.

Seen at 100 sites and 5 lost, on two cores that had much other work, in seconds:

                 keys  shares  vectors  consistency  unmasking  the round
    P = 10⁵       151      14       57            8          9        270
    P = 10⁶       177      17      146           20         21        418

The coordinator alone took 0.2 s and 1.3 s from the opened shares to the sum without masks, and
0.5 s and 2.3 s to the new model's file.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog
from logs.figures import lasting, options, parsed, tell
from rounds import raw
from rounds.rehearsed import hidden_for, parameters

from coordinator import adding, unmasking
from governance.secagg import coordinator as run_of
from protos.errors import Refused

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

BENCH: Final = "hundred-sites"
_RAW_ROUNDS: Final = 3
TESTS: Final = Path(__file__).parents[1] / "tests"
HARNESS: Final = ("unit/site_agent", "integration/coordinator", "integration/masking")
PATIENCE_S: Final = 3600.0
STEPS: Final = {
    "keys": "keys: made and signed by each, checked and brought to all",
    "shares": "shares: of two secrets for each other hospital, sealed, signed and brought",
    "masked": "vectors: encoded, masked for all the others, and sent",
    "signed": "consistency: each signs who is in the sum",
    "opened": "unmasking: each opens its shares of every other's secret",
}


def main() -> int:
    given = asked()
    sys.path[:0] = [str(TESTS / folder) for folder in HARNESS]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    size = parameters(hidden_for(given.parameters, inputs=2), inputs=2)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "raw")
        raws = raw.rounds(theirs, size, _RAW_ROUNDS, sites=given.sites)
        ours.mkdir()
        rows = asyncio.run(measured(ours, given))
    case = f"{given.sites} sites, {given.lost} lost, {size:,} parameters"
    reference = statistics.median(raws)
    figures = [lasting(BENCH, case, what, 1, (took, reference)) for what, took in rows]
    tell("A masked round of many hospitals", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--lost", type=int, default=5)
    parser.add_argument("--parameters", type=int, default=10**5)
    return parsed(parser)


async def measured(place: Path, given: argparse.Namespace) -> list[tuple[str, float]]:
    """Found a federation, hold one masked round, and return the seconds of each step."""
    import folders
    import masked

    names = [f"site-{number:03}" for number in range(given.sites)]
    lost = names[-given.lost :] if given.lost else []
    made = folders.found(place)
    begun = time.perf_counter()
    await masked.populate(made, names)
    enrolled = time.perf_counter() - begun
    fed = masked.Federation(made, names)
    own: dict[str, float] = {}
    with stopwatch(own):
        await fed.start()
        for name in lost:
            fed.agents[name].worker.train = fails
        await fed.agreed(changes=terms(given))
        await until_over(fed)
    rows = [("enrolment of all, one after the other", enrolled), *steps(fed)]
    rows += [(f"  of it {what}", seconds) for what, seconds in own.items()]
    check(fed, [name for name in names if name not in lost])
    await fed.end()
    fed.verified()
    return rows


async def fails(_job: object, _progress: object) -> None:
    raise Refused("the cohort is gone", rule="data-fault")


def terms(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the agreement says: a model of so many parameters, one round, five may go."""
    return {
        "model": {
            "name": "mlp",
            "hidden": [hidden_for(given.parameters, inputs=2)] * 2,
            "seed": 1,
        },
        "schedule.rounds": 1,
        "round.attempts": 1,
        "round.deadline": "10h",
        "sites.ready_at_least": given.sites,
        "sites.close_at_least": given.sites - given.lost,
    }


async def until_over(fed: Any) -> None:  # noqa: ANN401 - of the tests' harness
    async with asyncio.timeout(PATIENCE_S):
        while not [row for row in fed.rounds() if row[2] != "open"]:
            if fed.failed_serving is not None:
                raise fed.failed_serving
            await asyncio.sleep(1.0)


def steps(fed: Any) -> Iterator[tuple[str, float]]:  # noqa: ANN401
    """Yield how long each step took, from one entry of the ledger to the next."""
    (opened,) = fed.entries("round-opened")
    before = opened.at
    for entry in fed.entries("masking-step"):
        at = entry.at
        yield STEPS.get(entry.body["step"], entry.body["step"]), (at - before).total_seconds()
        before = at
    (closed,) = fed.entries("round-closed")
    at = closed.at
    yield "sum, unmasking, aggregate, figures", (at - before).total_seconds()
    yield "the round", (at - opened.at).total_seconds()


@contextmanager
def stopwatch(took: dict[str, float]) -> Iterator[None]:
    """Measure what the coordinator alone does once all shares are opened."""
    unmask, candidate = run_of.unmask, unmasking.candidate

    def unmasks(*args: Any) -> Any:  # noqa: ANN401
        begun = time.perf_counter()
        try:
            return unmask(*args)
        finally:
            took["unmasking: secrets from shares, and masks off the sum"] = (
                time.perf_counter() - begun
            )

    def makes(*args: Any, **how: Any) -> Any:  # noqa: ANN401
        begun = time.perf_counter()
        try:
            return candidate(*args, **how)
        finally:
            took["all of it to the new model's file"] = time.perf_counter() - begun

    run_of.unmask, adding.unmasking.candidate = unmasks, makes  # type: ignore[assignment]
    try:
        yield
    finally:
        run_of.unmask, adding.unmasking.candidate = unmask, candidate


def check(fed: Any, survivors: list[str]) -> None:  # noqa: ANN401
    """Hold that the new model is the plain mean's, bit for bit, and who was in it."""
    assert fed.closed()["sites_in"] == survivors, fed.rounds()
    before, after = fed.committed()
    mean = fed.plain_mean(survivors)
    for name, x in before.items():
        moved = x.reshape(-1) + mean.piece(f"y/{name}", slice(0, x.size))
        assert np.array_equal(moved.astype(np.float32), after[name].reshape(-1)), name


if __name__ == "__main__":
    sys.exit(main())
