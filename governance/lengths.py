"""How long an honest update can be, and how large a number in it.

The coordinator refuses what is longer, masked sums have room for what is as large, and a site
that compresses its updates sends no more of them at a time.

In K steps at rate η a coordinate of y moves by η times S, the steps' mean gradients added up:

    S ≤ C (T + 6.5 σ √K) / L,    T the patients drawn, at most µ + 6.8 √µ + 16, µ = K q n

but for a chance below 10⁻⁹: T is binomial (Bernstein's inequality; Boucheron, Lugosi and
Massart 2013, section 2.8), the noise of K steps is N(0, K σ²C²). L is taken of the fewest
patients that the agreement admits, where S is largest. FedProx pulls back only, where its µ
times η is at most 1. Each control variate of SCAFFOLD is a mean of such steps, so that with
M = S / K both ‖c − c_i‖ and ‖Δc‖ stay within 2M, and Δy within 3ηS.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from governance.models import parameter_shapes
from governance.privacy.releases import declared

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement


_DEVIATIONS: Final = 6.5
_TENS: Final = 10


def bounds(agreement: Agreement) -> dict[str, float]:
    """Return B, the largest absolute value of a coordinate, by part: y, and c of SCAFFOLD.

    Raises:
        ValueError: without privacy nothing bounds a gradient.
    """
    privacy, local = agreement.privacy, agreement.round.local
    if privacy is None or local.steps is None or local.sampling_rate is None:
        raise ValueError("only clipped gradients are bounded")
    steps, rate = local.steps, agreement.optimizer.rate
    fewest = declared(agreement.data.minimum_patients)
    drawn = steps * local.sampling_rate * (fewest + _TENS / 2)
    drawn += 6.8 * math.sqrt(drawn) + 16
    noise = _DEVIATIONS * agreement.sigma * math.sqrt(steps)
    total = privacy.clip * (drawn + noise) / (local.sampling_rate * fewest)
    total /= 1 - agreement.optimizer.momentum
    if agreement.strategy.name == "scaffold":
        return {"y": 3 * rate * total, "c": 2 * total / steps}
    return {"y": rate * total}


def norm_limits(
    agreement: Agreement, *, expected_batch: float, parameters: int
) -> dict[str, float]:
    """Return the norm that a private update stays under with probability 1 − 10⁻¹⁰, by part.

    A step moves y by η (Σ clip(g, C) + N(0, σ²C²)) / L. The sum has at most B·C, where the
    Poisson batch B stays under 2L + 50; the noise of K steps has at most √K σC (√P + 7)
    (Laurent and Massart 2000, lemma 1). SCAFFOLD's control variates are means of such steps:
    with M the largest, ‖c − c_i‖ ≤ 2M and ‖Δc‖ ≤ 2M. FedProx pulls back only.

    Args:
        agreement: The agreement in force; without privacy nothing bounds a gradient: no limit.
        expected_batch: L, the smallest of the sites in the round.
        parameters: P, the model's size.
    """
    privacy, optimizer, steps = (
        agreement.privacy,
        agreement.optimizer,
        agreement.round.local.steps,
    )
    if privacy is None or steps is None or optimizer.name != "sgd":
        return {}
    gradients = steps * (2 + 50 / expected_batch)
    noise = math.sqrt(steps) * agreement.sigma * (math.sqrt(parameters) + 7) / expected_batch
    total = privacy.clip * (gradients + noise) / (1 - optimizer.momentum)
    if agreement.strategy.name == "scaffold":
        return {"y": 3 * optimizer.rate * total, "c": 2 * total / steps}
    return {"y": optimizer.rate * total}


def norm_limits_of(agreement: Agreement, patients: int) -> dict[str, float]:
    """Return the norm that an update of a site with so many patients stays under, by part."""
    rate = agreement.round.local.sampling_rate
    if agreement.privacy is None or rate is None:
        return {}
    shapes = parameter_shapes(agreement)
    return norm_limits(
        agreement,
        expected_batch=rate * patients,
        parameters=sum(math.prod(shape) for shape in shapes.values()),
    )
