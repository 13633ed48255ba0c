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
        epsilon: Over all rounds.
        per_round: Of one round alone.
        spare_rounds: How many rounds beyond the schedule's the budget bears: lost ones whose
            update was computed and must be trained anew.
        affordable_rounds: How many rounds the budget bears in all.
        sigma: The noise multiplier.
        retraining: ε of the others in all by the round of an exit, where training goes back
            to before it; a few rounds of the schedule, and the last that the budget bears.
    """

    epsilon: float | None
    per_round: float | None
    spare_rounds: int
    affordable_rounds: int
    sigma: float
    retraining: tuple[tuple[int, float], ...] = ()


NOTHING = Cost(None, None, 0, 0, 0.0)


def cost_of(agreement: Agreement) -> Cost:
    """Return what every hospital spends; takes a second the first time.

    Raises:
        Refused: no noise reaches the agreement's target for ε.
    """
    from governance.privacy.accountant import epsilon, rounds_within
    from governance.privacy.releases import of_a_round

    privacy, rounds = agreement.privacy, agreement.schedule.rounds
    if privacy is None or privacy.noise_multiplier == 0:
        return NOTHING
    release = of_a_round(agreement)
    total = epsilon([release.times(rounds)], privacy.delta)
    if math.isinf(total):
        return NOTHING
    cap = privacy.budget.epsilon
    spare = rounds_within(
        release, already=[release.times(rounds)], cap=cap, delta=privacy.delta
    )
    fits = total <= cap
    return Cost(
        epsilon=total,
        per_round=epsilon([release], privacy.delta),
        spare_rounds=spare,
        affordable_rounds=rounds + spare
        if fits
        else rounds_within(release, cap=cap, delta=privacy.delta),
        sigma=release.noise_multiplier,
        retraining=tuple(
            (k, epsilon([release.times(rounds + k)], privacy.delta))
            for k in sorted({1, (rounds + 1) // 2, min(spare, rounds), rounds} - {0})
            if agreement.exits.training == "retrain-from-before"
        ),
    )
