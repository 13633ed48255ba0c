"""Terms are chosen on patients who do not exist, so that choosing costs nobody any privacy.

The invented hospitals come from the agreement alone (`rehearse --synthetic`) and are as large
as the real ones. Of all combinations some are tried, drawn by a seed, the same for every ε and
way; the best mean AUC on invented held-out patients decides.
"""

from __future__ import annotations

import itertools
import random
import statistics
from typing import TYPE_CHECKING, Final

from utility.ways import Choice, Setting, auc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import Cohort

SEEDS: Final = (101, 102, 103)
TRIED: Final = 24
STEPS: Final = (10, 25, 50, 100)
RATES: Final = (0.2, 0.5, 1.0)
CLIPS: Final = (0.5, 1.0, 2.0)
ETAS: Final = (0.1, 0.3, 1.0, 3.0)


def tried(epsilon: float | None) -> list[Choice]:
    """Return the combinations that are tried."""
    if epsilon is None:
        every = itertools.product((*STEPS, 200), RATES, (0.0,), ETAS)
    else:
        every = itertools.product(STEPS, RATES, CLIPS, ETAS)
    return [Choice(*each) for each in random.Random(1).sample(list(every), TRIED)]


def chosen(
    way: str,
    agreement: Agreement,
    epsilon: float | None,
    invented: Mapping[int, Mapping[str, Cohort]],
    choices: Sequence[Choice] | None = None,
) -> tuple[Choice, float]:
    """Return the best choice on invented hospitals, and its mean AUC there."""
    found = {
        choice: statistics.mean(
            auc(way, Setting(agreement, epsilon, choice), cohorts, seed=f"tuning/{seed}")
            for seed, cohorts in invented.items()
        )
        for choice in choices or tried(epsilon)
    }
    best = max(found, key=lambda choice: found[choice])
    return best, found[best]
