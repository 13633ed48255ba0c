"""What the runs come to: rounds to a target, accuracy at the end, drift; what holds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from digits import rehearsals
from digits.rehearsals import MUS, ROUNDS, STRATEGIES, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Said = Mapping[str, Any]

TARGET: Final = 0.93
FASTER: Final = 0.7
"""SCAFFOLD's rounds to the target, as a share of FedAvg's, at most."""
BETTER: Final = 0.01
"""By how much SCAFFOLD ends higher, at least; how far they may differ on like hospitals."""


@dataclass(frozen=True, slots=True)
class Study:
    """Every run that there is, by seed.

    Args:
        unlike: FedAvg's and SCAFFOLD's runs on Dirichlet splits, where both have been run.
        alike: The same on IID splits.
        prox: FedProx's first round by μ, where all have been run.
    """

    unlike: Mapping[int, Mapping[str, Said]]
    alike: Mapping[int, Mapping[str, Said]]
    prox: Mapping[int, Mapping[float, Said]]

    def rounds(self, strategy: str) -> float:
        """Return the mean number of rounds to the target on Dirichlet splits."""
        return statistics.mean(rounds_to(run[strategy]) for run in self.unlike.values())

    def ends(self, strategy: str, *, alike: bool = False) -> float:
        """Return the mean accuracy of the last model."""
        runs = self.alike if alike else self.unlike
        return statistics.mean(float(run[strategy]["final"]) for run in runs.values())

    def drift(self, mu: float) -> float:
        """Return the mean over splits of the root mean square of ‖y_i − x‖ in round 1."""
        return statistics.mean(float(run[mu]["drift"]) for run in self.prox.values())

    def verdicts(self) -> list[tuple[str, bool]]:
        """Return each claim in a sentence, with its figures, and whether it holds."""
        found = []
        if self.unlike:
            fedavg, scaffold = (self.rounds(name) for name in STRATEGIES)
            said = f"SCAFFOLD reaches {TARGET} in {scaffold:.1f} rounds, FedAvg in {fedavg:.1f}"
            said += f": {scaffold / fedavg:.2f} times as many, at most {FASTER} wanted"
            said += f" ({_splits(self.unlike)})"
            found.append((said, scaffold <= FASTER * fedavg))
            more = self.ends("scaffold") - self.ends("fedavg")
            said = f"after {ROUNDS} rounds SCAFFOLD is {more:+.4f} higher, "
            said += f"at least {BETTER} wanted ({_splits(self.unlike)})"
            found.append((said, more >= BETTER))
        if self.alike:
            more = self.ends("scaffold", alike=True) - self.ends("fedavg", alike=True)
            said = f"on like hospitals they differ by {more:+.4f}, at most {BETTER} wanted"
            said += f" ({_splits(self.alike)})"
            found.append((said, abs(more) <= BETTER))
        if self.prox:
            lengths = [self.drift(mu) for mu in MUS]
            falls = all(a > b for a, b in pairwise(lengths))
            said = f"FedProx's drift with μ = {', '.join(f'{mu:g}' for mu in MUS)} is "
            said += f"{', '.join(f'{length:.3f}' for length in lengths)}, falling wanted"
            said += f" ({_splits(self.prox)})"
            found.append((said, falls))
        return found


def read(work: Path, seeds: Sequence[int]) -> Study:
    """Read what has been run under the terms of today; a pair that lacks one is left out."""
    prox = {
        seed: {
            mu: rehearsals.result(Run("dirichlet", seed, "fedprox", 1, mu), work) for mu in MUS
        }
        for seed in seeds
    }
    return Study(
        unlike=_pairs(work, "dirichlet", seeds),
        alike=_pairs(work, "iid", seeds),
        prox={
            s: {m: r for m, r in by.items() if r} for s, by in prox.items() if all(by.values())
        },
    )


def _pairs(work: Path, split: str, seeds: Sequence[int]) -> dict[int, dict[str, Said]]:
    runs = {
        seed: {
            name: rehearsals.result(Run(split, seed, name, ROUNDS), work) for name in STRATEGIES
        }
        for seed in seeds
    }
    return {s: {n: r for n, r in by.items() if r} for s, by in runs.items() if all(by.values())}


def _splits(runs: Mapping[int, object]) -> str:
    """Say of how many splits a mean is."""
    return "one split alone" if len(runs) == 1 else f"mean of {len(runs)} splits"


def rounds_to(run: Said) -> int:
    """Return the first round whose model reaches the target; one more than all if none does."""
    reached = (number for number, value in enumerate(run["accuracy"], 1) if value >= TARGET)
    return next(reached, ROUNDS + 1)
