"""What training itself betrays: a lower bound on ε from canaries that were in it or not.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run": each of m
canaries is in with probability ½; whoever sees the result guesses of r of them, the most and
the least likely, whether they were in, and v guesses are right. Under (ε, δ) so many are right
with probability p at the most; an ε under which p < 0.05 is refuted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE: Final = 0.95
_MOST: Final = 64.0
_HALVINGS: Final = 60


@dataclass(frozen=True, slots=True)
class Guesses:
    """What guessing came to.

    Attributes:
        canaries: m, how many there were.
        made: r, of how many it was guessed.
        right: v, how many guesses were right.
    """

    canaries: int
    made: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.made <= self.canaries:
            raise ValueError("there are not more right guesses than guesses")


def guessed(
    scores: Sequence[float], inside: Sequence[bool], *, made: int, outside: int | None = None
) -> Guesses:
    """Guess by score: the highest are in, the lowest are out.

    Args:
        scores: One for each canary, the higher the likelier it was in.
        inside: Whether it was.
        made: r, even and at most as many as there are canaries.
        outside: Of how many of these it is guessed that they were out; half where None.
    """
    if len(scores) != len(inside) or made % 2 or not 0 < made <= len(scores):
        raise ValueError("an audit guesses an even number of its canaries")
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    lowest = made // 2 if outside is None else outside
    right = sum(not inside[place] for place in order[:lowest])
    right += sum(inside[place] for place in order[len(order) - (made - lowest) :])
    return Guesses(len(scores), made, right)


def p_value(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Return how likely so many right guesses are at the most, under (ε, δ)."""
    from scipy.stats import binom

    m, r, v = guesses.canaries, guesses.made, guesses.right
    q = 1 / (1 + math.exp(-epsilon))
    probabilities: list[float] = binom.sf(range(v - 1, -2, -1), r, q).tolist()
    beta, *at_least = probabilities  # that v or more are right, v − 1 or more …
    alpha = max(((p - beta) / i for i, p in enumerate(at_least, 1)), default=0.0)
    return min(1.0, beta + 2 * m * delta * alpha)


def lower_bound(guesses: Guesses, delta: float, *, confidence: float = CONFIDENCE) -> float:
    """Return the largest ε that guessing refutes, 0 where it refutes none."""
    least = 1 - confidence
    if p_value(guesses, 0.0, delta) >= least:
        return 0.0
    low, high = 0.0, _MOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if p_value(guesses, middle, delta) < least:
            low = middle
        else:
            high = middle
    return low
