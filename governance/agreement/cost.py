"""What an agreement costs each hospital in privacy, by the accountant that stops tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement


@dataclass(frozen=True, slots=True)
class Cost:
    """ε at the agreement's δ; None where no noise bounds it.

    Attributes:
        epsilon: Over all rounds, figures and statistics with noise included.
        per_round: Of the training of one round alone.
        spare_rounds: How many rounds beyond the schedule's the budget bears: lost ones whose
            update was computed and must be trained anew.
        affordable_rounds: How many rounds the budget bears in all.
        sigma: The noise multiplier.
        retraining: ε of the others in all by the round of an exit, where training goes back
            to before it; a few rounds of the schedule, and the last that the budget bears.
        training: Of all rounds and of nothing else.
        metrics: Of the figures without training; 0 where they leave exactly.
        statistics: Of federated statistics alone; 0 where references are used.
        evaluations: Over how many evaluations that is.
        metrics_sigma: The noise multiplier of each.
    """

    epsilon: float | None
    per_round: float | None
    spare_rounds: int
    affordable_rounds: int
    sigma: float
    retraining: tuple[tuple[int, float], ...] = ()
    training: float = 0.0
    metrics: float = 0.0
    statistics: float = 0.0
    evaluations: int = 0
    metrics_sigma: float = 0.0


NOTHING = Cost(None, None, 0, 0, 0.0)


def cost_of(agreement: Agreement) -> Cost:
    """Return what every hospital spends; takes a second the first time.

    Raises:
        Refused: no noise reaches the agreement's target for ε.
    """
    from governance.privacy.accountant import epsilon, rounds_within
    from governance.privacy.releases import (
        of_a_round,
        of_all_beside_training,
        of_all_evaluations,
        of_the_statistics,
    )

    privacy, rounds = agreement.privacy, agreement.schedule.rounds
    if privacy is None or privacy.noise_multiplier == 0:
        return NOTHING
    release, beside = of_a_round(agreement), of_all_beside_training(agreement)
    delta, cap = privacy.delta, privacy.budget.epsilon
    total = epsilon([release.times(rounds), *beside], delta)
    if math.isinf(total):
        return NOTHING
    spare = rounds_within(
        release, already=[release.times(rounds), *beside], cap=cap, delta=delta
    )
    fits = total <= cap
    return Cost(
        epsilon=total,
        per_round=epsilon([release], delta),
        spare_rounds=spare,
        affordable_rounds=rounds + spare
        if fits
        else rounds_within(release, already=beside, cap=cap, delta=delta),
        sigma=release.noise_multiplier,
        retraining=tuple(
            (k, epsilon([release.times(rounds + k), *beside], delta))
            for k in sorted({1, (rounds + 1) // 2, min(spare, rounds), rounds} - {0})
            if agreement.exits.training == "retrain-from-before"
        ),
        training=epsilon([release.times(rounds)], delta),
        metrics=epsilon(of_all_evaluations(agreement), delta),
        statistics=epsilon(of_the_statistics(agreement), delta),
        evaluations=agreement.evaluations,
        metrics_sigma=agreement.metrics_sigma,
    )
