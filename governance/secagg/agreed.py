"""What an agreement makes of a masked sum: how large a number can be, weights, scales, order.

Coordinator and sites compute it each for themselves, so that nobody is told what fits (R1).

In K steps at rate η a coordinate of y moves by η times S, the steps' mean gradients added up:

    S ≤ C (T + 6.5 σ √K) / L,    T the patients drawn, at most µ + 6.8 √µ + 16, µ = K q n

but for a chance below 10⁻⁹: T is binomial (Bernstein's inequality; Boucheron, Lugosi and
Massart 2013, section 2.8), the noise of K steps is N(0, K σ²C²). L is taken of the fewest
patients that the agreement admits, where S is largest. FedProx pulls back only, where its µ
times η is at most 1. Each control variate of SCAFFOLD is a mean of such steps, so that with
M = S / K both ‖c − c_i‖ and ‖Δc‖ stay within 2M, and Δy within 3ηS.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from governance import canonical
from governance.models import parameter_shapes
from governance.privacy.releases import declared
from governance.secagg.fixed_point import Scale, decode, encode
from governance.secagg.terms import Part
from governance.tensors import chunks
from protos.errors import PeerFault
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from governance.secagg.terms import Terms
    from protos.words import Task

MASKED: Final = "masked"
"""The one tensor of a masked update's file: uint32, bit by bit in the place of float32."""
LARGEST_WEIGHT: Final = 100_000
"""In tens of patients: a hospital of more counts like one of a million."""
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


def weight_of(agreement: Agreement, declared_patients: int) -> int:
    """Return what a site counts in Δy: its declared patients in tens, or 1 for each."""
    if agreement.aggregation.weighting == "equal":
        return 1
    return min(max(declared_patients // _TENS, 1), LARGEST_WEIGHT)


def parts_of(agreement: Agreement, weights: Iterable[int]) -> tuple[Part, ...]:
    """Return the parts of a vector, each with as many digits as its sum has room for.

    Args:
        agreement: The agreement in force.
        weights: One for each site that is asked.
    """
    every = list(weights)
    length = sum(math.prod(shape) for shape in parameter_shapes(agreement).values())
    parts = []
    for name, bound in bounds(agreement).items():
        weighted = name == "y"
        most = max(every, default=1) if weighted else 1
        scale = Scale.finest(sites=max(len(every), 1), weight=most, bound=bound)
        parts.append(Part(length, bound, scale.fraction_bits, weighted))
    return tuple(parts)


def names_of(agreement: Agreement) -> list[tuple[str, tuple[int, ...]]]:
    """Return the tensors of an update in the order of a vector, each with its shape."""
    shapes = parameter_shapes(agreement)
    return [
        (f"{part}/{name}", shapes[name])
        for part in ("y", "c")[: 2 if agreement.strategy.name == "scaffold" else 1]
        for name in sorted(shapes)
    ]


def task_digest(task: Task) -> Digest:
    """Return SHA-256 of what a site is asked to do, without when it is due."""
    said = {
        "task": task.task,
        "kind": task.kind.value,
        "round": task.round,
        "attempt": task.attempt,
        "agreement": task.agreement,
        "model": task.model.digest,
        "state": task.state.digest if task.state is not None else "",
    }
    return Digest(hashlib.sha256(canonical.encode(said)).hexdigest())


def coded(
    terms: Terms, agreement: Agreement, site: str, update: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.uint32], int]:
    """Return a site's update in the ring, and how many coordinates saturated.

    Args:
        terms: Those of the run.
        agreement: The agreement of the task.
        site: Whose update it is.
        update: Its tensors by name, Δy as `y/…` and Δc as `c/…`.

    Raises:
        PeerFault: the update has not the model's shapes.
    """
    order = names_of(agreement)
    if {name: tensor.shape for name, tensor in update.items()} != dict(order):
        raise PeerFault("the update has not the model's shapes", rule="wrong-shape")
    vector = np.empty(terms.length, dtype=np.uint32)
    saturated = at = 0
    for name, _ in order:
        flat = update[name].reshape(-1)
        part = terms.parts[0 if name.startswith("y/") else 1]
        weight = terms.weights[site] if part.weighted else 1
        scale = _scale(terms, part)
        for piece in chunks(flat.size):
            some, beyond = encode(flat[piece], weight, scale)
            vector[at : at + some.size] = some
            saturated, at = saturated + beyond, at + some.size
    return vector, saturated


def most_saturated(length: int) -> int:
    """Return how many coordinates of an honest vector may saturate: far more than ever do."""
    return 2 + length // 10**7


class Mean:
    """The mean that a sum without masks stands for, read piece by piece.

    Args:
        terms: Those of the run.
        agreement: The round's agreement.
        total: The sum in the ring.
        survivors: The sites in it, U3.
    """

    def __init__(
        self,
        terms: Terms,
        agreement: Agreement,
        total: NDArray[np.uint32],
        survivors: Iterable[str],
    ) -> None:
        sites = list(survivors)
        weighted = sum(terms.weights[site] for site in sites)
        self._total = total
        self._at: dict[str, tuple[int, Part]] = {}
        at = 0
        for name, shape in names_of(agreement):
            self._at[name] = (at, terms.parts[0 if name.startswith("y/") else 1])
            at += math.prod(shape)
        self._terms = terms
        self._weight = {True: weighted, False: len(sites)}

    def piece(self, name: str, part: slice) -> NDArray[np.float64]:
        """Return some coordinates of a tensor's mean: Δy weighted, Δc not."""
        at, scaled = self._at[name]
        some = self._total[at + part.start : at + part.stop]
        weight = self._weight[scaled.weighted]
        return decode(some, weight, _scale(self._terms, scaled))


def _scale(terms: Terms, part: Part) -> Scale:
    most = max(terms.weights[site] for site in terms.roster)
    return part.scale(len(terms.roster), most)
