"""Whether a patient was in a training, from an update that is taken apart or from a model.

An update is, nearly, a sum of gradients of those who were in. Whoever knows records that may
have been in computes their gradients at the model that the round began with, and asks by how
much of each the update is best explained (ridge regression). Worlds that could have been tell
what that figure is for this patient in and out: the likelihood ratio of the two, with Gaussians
of one variance, is the score (LiRA; Carlini et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bits = NDArray[np.bool_]

_RIDGE: Final = 1e-2
FALSE_ALARMS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Found:
    """How well an attack tells who was in.

    Attributes:
        auc: 0.5 is chance.
        hits: The share of those in who are found with one false alarm among a hundred.
    """

    auc: float
    hits: float

    def __str__(self) -> str:
        return f"{self.auc:.3f} ({self.hits:.1%})"


def explained(update: Floats, gradients: Floats) -> Floats:
    """Return by how much of each patient's step an update is best explained."""
    gram = gradients @ gradients.T
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return -np.linalg.solve(gram + ridge, gradients @ update)


def lira(scores: Floats, inside: Bits) -> Found:
    """Judge each world by all others.

    Args:
        scores: Worlds × patients.
        inside: Whether the patient was in.
    """
    ratios = [_ratio(scores, inside, world) for world in range(len(scores))]
    return found(np.concatenate(ratios), inside.ravel())


def found(scores: Iterable[float], inside: Bits) -> Found:
    """Return how well scores tell who was in."""
    told = np.asarray(list(scores))
    false, true, _ = roc_curve(inside, told)
    return Found(
        float(roc_auc_score(inside, told)), float(true[false <= FALSE_ALARMS].max(initial=0))
    )


def _ratio(scores: Floats, inside: Bits, world: int) -> Floats:
    rest = np.arange(len(scores)) != world
    known, was = scores[rest], inside[rest]
    mean_in = _mean(known, was)
    mean_out = _mean(known, ~was)
    variance = np.where(was, known - mean_in, known - mean_out).var() or 1.0
    seen = scores[world]
    ratio: Floats = ((seen - mean_out) ** 2 - (seen - mean_in) ** 2) / variance
    return ratio


def _mean(scores: Floats, where: Bits) -> Floats:
    """Return each patient's mean over these worlds; over all where there is none."""
    counts = where.sum(axis=0)
    mean: Floats = np.where(
        counts > 0, (scores * where).sum(axis=0) / np.maximum(counts, 1), scores.mean(axis=0)
    )
    return mean
