"""What an agreement makes of a masked sum: how large a number can be, weights, scales, order.

Coordinator and sites compute it each for themselves, so that nobody is told what fits (R1).
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from governance import canonical
from governance.compression import bits, int8
from governance.compression.form import Packed, Spread, form_of
from governance.lengths import bounds
from governance.models import parameter_shapes
from governance.secagg.fixed_point import Scale, decode, encode
from governance.secagg.terms import Part
from governance.tensors import chunks
from protos.errors import PeerFault
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from governance.secagg.terms import Terms
    from protos.words import Task

MASKED: Final = "masked"
"""The one tensor of a masked update's file: uint32, bit by bit in the place of float32."""
LARGEST_WEIGHT: Final = 100_000
"""In tens of patients: a hospital of more counts like one of a million."""
_TENS: Final = 10


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
    every, form = list(weights), form_of(agreement)
    length = sum(math.prod(shape) for shape in parameter_shapes(agreement).values())
    sites, parts = max(len(every), 1), []
    for name, bound in bounds(agreement).items():
        weighted = name == "y"
        most = max(every, default=1) if weighted else 1
        if form is not None and form.digits:
            digits, narrow = form.digits[name], int8.ring_bits(sites, most)
            part = Part(form.count, int8.largest_of(digits), digits, weighted, narrow)
        else:
            scale = Scale.finest(sites=sites, weight=most, bound=bound)
            count = form.count if form is not None else length
            part = Part(count, bound, scale.fraction_bits, weighted)
        parts.append(part)
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
        update: Its tensors by name, Δy as `y/…` and Δc as `c/…`; or packed, as agreed.

    Raises:
        PeerFault: the update has not the model's shapes.
    """
    vector = np.empty(terms.length, dtype=np.uint32)
    saturated = at = 0
    for part, values in _pieces(terms, agreement, update):
        weight = terms.weights[site] if part.weighted else 1
        some, beyond = encode(values, weight, _scale(terms, part))
        vector[at : at + some.size] = some
        saturated, at = saturated + beyond, at + some.size
    return vector, saturated


def _pieces(
    terms: Terms, agreement: Agreement, update: Mapping[str, NDArray[np.float32]]
) -> Iterator[tuple[Part, NDArray[np.float32]]]:
    """Return what of an update is summed, piece by piece in the order of a vector."""
    form = form_of(agreement)
    if form is not None:
        packed = Packed(form, update)
        for name, part in zip(form.parts, terms.parts, strict=True):
            for piece in chunks(part.length):
                yield part, packed.values(name, piece)
        return
    order = names_of(agreement)
    if {name: tensor.shape for name, tensor in update.items()} != dict(order):
        raise PeerFault("the update has not the model's shapes", rule="wrong-shape")
    for name, _ in order:
        flat = update[name].reshape(-1)
        for piece in chunks(flat.size):
            yield terms.parts[0 if name.startswith("y/") else 1], flat[piece]


def to_words(terms: Terms, vector: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return a vector as it leaves, with no more bits of each coordinate than its sum needs."""
    if all(part.bits == bits.WORD for part in terms.parts):
        return vector
    return np.concatenate(
        [bits.packed(vector[span], part.bits) for part, span in _spans(terms)]
    )


def from_words(terms: Terms, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the vector that checked words stand for."""
    if all(part.bits == bits.WORD for part in terms.parts):
        return words
    check_words(terms, words)
    pieces, at = [], 0
    for part in terms.parts:
        pieces.append(bits.unpacked(words[at : at + part.words], part.length, part.bits))
        at += part.words
    return np.concatenate(pieces)


def check_words(terms: Terms, words: NDArray[np.uint32]) -> None:
    """R13: take words of one masked vector of the agreed length alone."""
    at = 0
    try:
        for part in terms.parts:
            bits.check_spare(words[at : at + part.words], part.length, part.bits)
            at += part.words
        whole = words.shape == (at,)
    except PeerFault:
        whole = False
    if not whole:
        raise PeerFault("the masked vector has not the model's length", rule="secagg-r13")


def _spans(terms: Terms) -> Iterator[tuple[Part, slice]]:
    at = 0
    for part in terms.parts:
        yield part, slice(at, at + part.length)
        at += part.length


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
        self._terms, self._total = terms, total
        self._weight = {True: weighted, False: len(sites)}
        form = form_of(agreement)
        self._spread: Spread | None = None
        self._at: dict[str, tuple[int, Part]] = {}
        if form is not None:
            sent = form.at(terms.federation, terms.round, terms.model)
            self._spread = Spread(form, sent)
            return
        at = 0
        for name, shape in names_of(agreement):
            self._at[name] = (at, terms.parts[0 if name.startswith("y/") else 1])
            at += math.prod(shape)

    def piece(self, name: str, part: slice) -> NDArray[np.float64]:
        """Return some coordinates of a tensor's mean: Δy weighted, Δc not."""
        if self._spread is not None:
            return self._spread_piece(self._spread, name, part)
        at, scaled = self._at[name]
        return self._decoded(scaled, self._total[at + part.start : at + part.stop])

    def _spread_piece(self, spread: Spread, name: str, part: slice) -> NDArray[np.float64]:
        of, span = spread.span(name, part)
        at, scaled = (0, self._terms.parts[0])
        if of != "y":
            at, scaled = self._terms.parts[0].length, self._terms.parts[1]
        some = self._total[at + span.start : at + span.stop]
        return spread.dense(name, part, self._decoded(scaled, some))

    def _decoded(self, part: Part, some: NDArray[np.uint32]) -> NDArray[np.float64]:
        return decode(some, self._weight[part.weighted], _scale(self._terms, part))


def _scale(terms: Terms, part: Part) -> Scale:
    most = max(terms.weights[site] for site in terms.roster)
    return part.scale(len(terms.roster), most)
