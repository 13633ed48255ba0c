"""How the update of an agreement that compresses lies in its file, and is read piece by piece.

The file has one tensor, of words of 32 bits: first Δy, then SCAFFOLD's Δc, each flat in name
order. Under random-k they are the float32 of the coordinates that are sent; under int8 a byte
for each. Nothing is ever spread out to the whole model at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from governance import lengths, tensors
from governance.compression import bits, int8, random_k
from governance.compression.feedback import Limits
from governance.models import parameter_shapes
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from protos.words import Digest

    Floats = NDArray[np.float32]
    Wide = NDArray[np.float64]

PACKED: Final = "packed"
"""The one tensor of a compressed update's file: words, bit by bit in the place of float32."""


@dataclass(frozen=True)
class Form:
    """What an agreement makes of an update.

    Attributes:
        names: The model's tensors in order, each with its shape.
        parts: `y`, and `c` of SCAFFOLD.
        count: k, how many coordinates of each part are sent.
        digits: f by part under int8; nothing under random-k.
    """

    names: tuple[tuple[str, tuple[int, ...]], ...]
    parts: tuple[str, ...]
    count: int
    digits: Mapping[str, int]

    @property
    def size(self) -> int:
        """P, the model's parameters."""
        return sum(math.prod(shape) for _, shape in self.names)

    @property
    def bits(self) -> int:
        """How many bits a coordinate has in the file."""
        return int8.BITS if self.digits else bits.WORD

    @property
    def words(self) -> int:
        """How many words of 32 bits an update has."""
        return len(self.parts) * bits.words_of(self.count, self.bits)

    @property
    def file_bytes(self) -> int:
        """How long the file of an update is."""
        return tensors.size_of({PACKED: (self.words,)})

    @property
    def most_bytes(self) -> int:
        """How long it is at most under masks, where a number has up to 32 bits."""
        return tensors.size_of({PACKED: (self.count * len(self.parts),)})

    def rounding(self, part: str) -> float:
        """Return by how much rounding can lengthen an update: a step in each coordinate."""
        if part not in self.digits:
            return 0.0
        return math.sqrt(self.count) * 2.0 ** -self.digits[part]

    def at(self, federation: str, round_: int, model: Digest) -> NDArray[np.int64] | None:
        """Return the coordinates that are sent in a round; None for all of them."""
        if self.digits:
            return None
        seed = random_k.seed_of(federation, round_, model)
        return random_k.chosen(seed, self.size, self.count)


def form_of(agreement: Agreement) -> Form | None:
    """Return the form of an agreement's updates; None where they leave whole."""
    compression = agreement.aggregation.compression
    if compression.name == "none":
        return None
    shapes = parameter_shapes(agreement)
    names = tuple((name, shapes[name]) for name in sorted(shapes))
    parts = ("y", "c") if agreement.strategy.name == "scaffold" else ("y",)
    size = sum(math.prod(shape) for shape in shapes.values())
    if compression.name == "int8":
        digits = {
            part: int8.digits_of(bound) for part, bound in lengths.bounds(agreement).items()
        }
        return Form(names, parts, size, digits)
    return Form(names, parts, random_k.count_of(compression.keep or 1.0, size), {})


def limits_of(agreement: Agreement, patients: int) -> dict[str, Limits]:
    """Return what a site with so many declared patients sends at most, by part."""
    norms = lengths.norm_limits_of(agreement, patients)
    try:
        bounds = lengths.bounds(agreement)
    except ValueError:  # without privacy nothing bounds a gradient
        bounds = {}
    return {
        part: Limits(bounds.get(part, math.inf), norms.get(part, math.inf))
        for part in ("y", "c")
    }


def to_words(form: Form, sent: Mapping[str, NDArray[np.generic]]) -> Floats:
    """Return the words of what is sent: float32 of each part, or int8."""
    pieces = []
    for part in form.parts:
        if part in form.digits:
            coded = sent[part].view(np.uint8).astype(np.uint32)
            pieces.append(bits.packed(coded, int8.BITS))
        else:
            pieces.append(sent[part].view(np.uint32))
    return np.concatenate(pieces).view(np.float32)


class Packed:
    """A compressed update, of which some coordinates are read at a time.

    Args:
        form: The agreement's.
        update: The tensors of its file.

    Raises:
        PeerFault: wrong-shape, it is no update of that form.
    """

    def __init__(self, form: Form, update: Mapping[str, Floats]) -> None:
        if {name: tensor.shape for name, tensor in update.items()} != {PACKED: (form.words,)}:
            raise PeerFault("the update has not the agreed form", rule="wrong-shape")
        words = update[PACKED].view(np.uint32)
        each = form.words // len(form.parts)
        self._form = form
        self._of = {part: words[i * each : (i + 1) * each] for i, part in enumerate(form.parts)}
        for some in self._of.values():
            bits.check_spare(some, form.count, form.bits)

    def values(self, part: str, span: slice) -> Floats:
        """Return the numbers that some of the coordinates that were sent stand for."""
        if part not in self._form.digits:
            return self._of[part].view(np.float32)[span]
        coded = self._of[part].view(np.int8)[: self._form.count]
        return int8.values_of(coded[span], self._form.digits[part])


class Spread:
    """Where the coordinates that were sent belong among all; the others are zero.

    Args:
        form: The agreement's.
        at: Those of the round, as `Form.at` returns them.
    """

    def __init__(self, form: Form, at: NDArray[np.int64] | None) -> None:
        self._at = at
        self._starts: dict[str, tuple[str, int]] = {}
        for part in form.parts:
            start = 0
            for name, shape in form.names:
                self._starts[f"{part}/{name}"] = (part, start)
                start += math.prod(shape)

    def span(self, name: str, piece: slice) -> tuple[str, slice]:
        """Return the part of a tensor, and which of those sent are in a piece of it."""
        part, start = self._starts[name]
        if self._at is None:
            return part, slice(start + piece.start, start + piece.stop)
        ends = np.searchsorted(self._at, [start + piece.start, start + piece.stop])
        return part, slice(int(ends[0]), int(ends[1]))

    def dense(self, name: str, piece: slice, values: Wide) -> Wide:
        """Return a piece of a tensor with these numbers at those sent, zero elsewhere."""
        if self._at is None:
            return values
        start = self._starts[name][1] + piece.start
        found = np.zeros(piece.stop - piece.start)
        found[self._at[self.span(name, piece)[1]] - start] = values
        return found


class PackedMean:
    """The mean of updates that nobody masked: Δy weighted, Δc not.

    Args:
        spread: The round's.
        updates: Those that are in, in name order of their sites.
        weights: What each counts in Δy.
    """

    def __init__(
        self, spread: Spread, updates: Sequence[Packed], weights: Sequence[int]
    ) -> None:
        self._spread, self._updates = spread, updates
        self._weights = {"y": list(weights), "c": [1] * len(updates)}

    def piece(self, name: str, piece: slice) -> Wide:
        """Return some coordinates of a tensor's mean."""
        part, span = self._spread.span(name, piece)
        weights = self._weights[part]
        total = np.zeros(span.stop - span.start)
        for update, weight in zip(self._updates, weights, strict=True):
            total += np.multiply(update.values(part, span), weight, dtype=np.float64)
        return self._spread.dense(name, piece, total / sum(weights))
