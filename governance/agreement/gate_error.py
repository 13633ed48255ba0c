"""How far a figure of quality strays by chance, from what an agreement promises of cohorts.

AUC: Hanley and McNeil 1982, eqs. 1 and 2. Two models are compared on the same patients, whose
figures move together, so that the standard error of one figure stands for their difference.
Noise is drawn anew for each of the two, so that its variance counts twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement.metrics_noise import noise_error

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement

HELD_OUT: Final = 0.2
"""The share of patients that a hospital holds back unless its own file says another."""
TYPICAL_AUC: Final = 0.75
_BOUNDED_SD: Final = 0.5
"""No figure between 0 and 1 has a larger standard deviation."""
_LOG_LOSS_SD: Final = 1.0


@dataclass(frozen=True, slots=True)
class GateError:
    """The standard error of a pooled figure.

    Attributes:
        metric: Of which figure.
        standard_error: At the middle of the prevalence range; in the metric's unit.
        at_worst: At the end of the range where it is largest.
        patients: Held-out patients of the fewest hospitals that may close a round.
        with_outcome: How many of them have the outcome at the middle; None for a quantity.
        noise: What of it the figures' noise alone gives; 0 where they are exact.
    """

    metric: str
    standard_error: float
    at_worst: float
    patients: int
    with_outcome: int | None
    noise: float = 0.0


def gate_error(agreement: Agreement, metric: str) -> GateError:
    """Return how far this metric strays by chance under the agreement's promises."""
    patients = agreement.sites.close_at_least * agreement.data.minimum_patients * HELD_OUT
    prevalence = agreement.data.target.prevalence
    if agreement.data.target.kind == "category":
        return _same(agreement, metric, _binary(metric, patients, 0.5), patients)
    if prevalence is None:
        reference = agreement.data.target.reference
        error = (reference.std if reference else 1.0) / math.sqrt(2 * patients)
        return _same(agreement, metric, error, patients)
    low, high = prevalence
    middle = (low + high) / 2
    noise = _noise(agreement, metric, patients, middle)
    worst = max(
        math.hypot(_binary(metric, patients, share), _noise(agreement, metric, patients, share))
        for share in (low, high)
    )
    return GateError(
        metric,
        math.hypot(_binary(metric, patients, middle), noise),
        worst,
        int(patients),
        round(patients * middle),
        noise,
    )


def _same(agreement: Agreement, metric: str, chance: float, patients: float) -> GateError:
    """Return the error of a figure that no prevalence changes."""
    noise = _noise(agreement, metric, patients, 0.5)
    error = math.hypot(chance, noise)
    return GateError(metric, error, error, int(patients), None, noise)


def _noise(agreement: Agreement, metric: str, patients: float, share: float) -> float:
    one = noise_error(agreement, metric, patients=patients, share=share, auc=TYPICAL_AUC)
    return math.sqrt(2) * one


def naive_figure(agreement: Agreement, metric: str) -> float:
    """Return the figure of a model that knows the prevalence and nothing else.

    Of a category the agreement says no prevalence: every value is as likely.
    """
    prevalence = agreement.data.target.prevalence
    if agreement.data.target.kind == "category":
        width = agreement.output_width
        return {"accuracy": 1 / width, "log-loss": math.log(width)}[metric]
    if prevalence is None:
        reference = agreement.data.target.reference
        return reference.std if reference else math.inf
    share = min(max(sum(prevalence) / 2, 1e-9), 1 - 1e-9)
    return {
        "auc": 0.5,
        "accuracy": max(share, 1 - share),
        "brier": share * (1 - share),
        "log-loss": -share * math.log(share) - (1 - share) * math.log(1 - share),
    }[metric]


def auc_error(auc: float, positives: float, negatives: float) -> float:
    """Return the standard error of an area under the ROC curve (Hanley and McNeil 1982)."""
    if positives < 1 or negatives < 1:
        return 0.5
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt((auc * (1 - auc) + spread) / (positives * negatives))


def _binary(metric: str, patients: float, share: float) -> float:
    if metric == "auc":
        return auc_error(TYPICAL_AUC, patients * share, patients * (1 - share))
    spread = _LOG_LOSS_SD if metric == "log-loss" else _BOUNDED_SD
    return spread / math.sqrt(patients)
