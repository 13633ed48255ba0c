"""How far the noise of figures of quality moves a pooled metric, before anybody is asked.

First order (the delta method) around a model whose scores are calibrated and normal on the
logit scale in each class, with the given area under the ROC curve. `k` hospitals each add noise
of deviation s to each number of their vector, so that the pooled numbers have s√k.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from governance.noised import DEVIATIONS, LOSS_LIMIT, deviation_of, layout_of

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement
    from governance.noised import Layout

_NORMAL: Final = NormalDist()
_LOSS: Final = 2 * LOSS_LIMIT
"""Nats that one unit of the vector's log-loss stands for."""
_SQUARES: Final = 2.0


def noise_error(
    agreement: Agreement, metric: str, *, patients: float, share: float, auc: float
) -> float:
    """Return the standard deviation that noise alone gives a pooled metric; 0 without noise.

    Args:
        agreement: Whose terms give the noise and how many hospitals may close a round.
        metric: A key of `figures.METRICS`.
        patients: Held-out patients of all those hospitals.
        share: How many of them have the outcome; of a category as a whole, unused.
        auc: Of the model that is judged.
    """
    if not agreement.metrics_noised:
        return 0.0
    layout = layout_of(agreement)
    s = deviation_of(agreement) * math.sqrt(agreement.sites.close_at_least)
    if metric == "auc":
        return s * _auc(layout, patients, share, auc)
    if metric == "rmse":
        return s * _rmse(layout.unit, patients)
    counts = 2 * layout.bins if layout.kind == "binary" else layout.classes
    weight, mean = {
        "accuracy": (layout.bins or 1, 0.75),
        "log-loss": (_LOSS**2, 0.5),
        "brier": (_SQUARES**2, 0.25),
    }[metric]
    if metric == "accuracy" and layout.kind == "binary":
        return s * math.sqrt(weight * ((1 - mean) ** 2 + mean**2)) / patients
    return s * math.sqrt(weight + mean**2 * counts) / patients


def _auc(layout: Layout, patients: float, share: float, auc: float) -> float:
    """Return how far the area moves by noise of deviation 1 in each score bin."""
    positives, negatives = patients * share, patients * (1 - share)
    if positives < 1 or negatives < 1:
        return math.inf
    spread = math.sqrt(2) * _NORMAL.inv_cdf(auc)
    middle = math.log(share / (1 - share))
    with_outcome = _shares(layout, NormalDist(middle + spread**2 / 2, spread))
    without = _shares(layout, NormalDist(middle - spread**2 / 2, spread))
    of_negatives = _below(without)
    of_positives = [1 - below for below in _below(with_outcome)]
    total = sum((each - auc) ** 2 for each in of_negatives) / positives**2
    total += sum((each - auc) ** 2 for each in of_positives) / negatives**2
    return math.sqrt(total)


def _shares(layout: Layout, scores: NormalDist) -> list[float]:
    until = [0.0, *(scores.cdf(edge) for edge in layout.edges), 1.0]
    return [after - before for before, after in pairwise(until)]


def _below(shares: list[float]) -> list[float]:
    """Return how much is below each bin, with half of what is in it."""
    found, so_far = [], 0.0
    for share in shares:
        found.append(so_far + share / 2)
        so_far += share
    return found


def _rmse(unit: float, patients: float) -> float:
    square = unit**2  # of a model that says the mean
    far = (DEVIATIONS * unit) ** 2
    return math.hypot(far, square) / patients / (2 * unit)
