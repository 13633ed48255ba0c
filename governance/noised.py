"""Figures of quality with noise: one flat vector of whole numbers, its layout, its reading.

Each held-out patient adds a part to the vector whose Euclidean norm is at most the sensitivity
Δ; every number then gets Gaussian noise of deviation s = σ·Δ and is rounded to sixteenths, so
that the vector is the Gaussian mechanism with noise multiplier σ on one patient added or
removed (q = 1). What is read out of it, the minimum included, is made of the noised numbers
alone. The numbers, in order, with the most that one patient adds:

    binary    patients with the outcome by score bin (1), without it by score bin (1),
              patients with the outcome (1/2), without it (1/2), log-loss (1/2), squared error
              (1/2)
    category  patients of each value (1), those the model is right on (1), log-loss (1/2)
    real      patients (1), squared error (1)

A log-loss is clipped at 4 nats; a squared error of a quantity at 4 reference deviations. Score
bins are 0.75 wide on the logit scale, around the middle of the agreement's prevalence, and one
edge is at a score of 1/2. Sums of such vectors are the vectors of all patients together. Where
updates are masked these vectors are too: their sum alone is read, its noise is that of all
hospitals in it (s√k), and the minimum holds for their classes together.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from governance import disclosed, figures
from governance.figures import UNDER_MINIMUM, Figures
from governance.privacy.releases import decimal_text
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from governance.figures import Kind

    Floats = NDArray[np.float64]
    Draw = Callable[[int], Floats]
    """Returns so many standard normal numbers."""

MECHANISM: Final = "gaussian"
GRID: Final = 16
LOSS_LIMIT: Final = 4.0
"""Nats; a larger log-loss of a patient counts as this."""
DEVIATIONS: Final = 4.0
"""A larger error of a quantity counts as so many of its reference deviations."""
BIN_WIDTH: Final = 0.75
_BINS_EACH_WAY: Final = 4
_HALF: Final = 0.5
_MARGIN: Final = 2.0
"""Deviations of a noised count above the minimum from which on a class is said."""
_VALUE_LIMIT: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Layout:
    """What the numbers of an agreement's vector are.

    Attributes:
        kind: Of the target.
        edges: Between score bins, as logits, 0 among them; none unless the target is binary.
        classes: Numbers that count the patients of a class; with their weight they decide
            whether anything is said.
        unit: Of the target of a quantity: its reference deviation.
    """

    kind: Kind
    edges: tuple[float, ...]
    classes: int
    unit: float = 1.0

    @property
    def bins(self) -> int:
        """How many score bins each class has."""
        return len(self.edges) + 1 if self.edges else 0

    @property
    def length(self) -> int:
        """How many numbers the vector has."""
        return 2 * self.bins + self.classes + (1 if self.kind == "real" else 2)

    @property
    def sensitivity(self) -> float:
        """Δ: the largest Euclidean norm of what one patient adds."""
        return {"binary": math.sqrt(1.75), "category": 1.5, "real": math.sqrt(2)}[self.kind]

    @property
    def class_weight(self) -> float:
        """What a patient adds to the number that counts its class."""
        return _HALF if self.kind == "binary" else 1.0


@dataclass(frozen=True, slots=True)
class Noised:
    """What one site says of one model.

    Attributes:
        kind: `binary`, `real` or `category`.
        deviation: s of each number's noise, as a decimal.
        values: The vector in sixteenths; empty when withheld.
        withheld: Why there are none, or empty.
    """

    kind: Kind
    deviation: str
    values: tuple[int, ...] = ()
    withheld: str = ""


def layout_of(agreement: Agreement) -> Layout:
    """Return the layout that an agreement's terms give."""
    target = agreement.data.target
    if target.kind == "real":
        return Layout("real", (), 1, target.reference.std if target.reference else 1.0)
    if target.kind == "category":
        return Layout("category", (), agreement.output_width)
    low, high = target.prevalence or (0.25, 0.75)
    middle = min(max((low + high) / 2, 1e-4), 1 - 1e-4)
    centre = round(math.log(middle / (1 - middle)) / BIN_WIDTH)
    places = range(centre - _BINS_EACH_WAY, centre + _BINS_EACH_WAY + 1)
    return Layout("binary", tuple(BIN_WIDTH * place for place in sorted({0, *places})), 2)


def deviation_of(agreement: Agreement, sites: int = 1) -> float:
    """Return s, the deviation of the noise of each number, before sixteenths.

    Args:
        agreement: Whose terms give it.
        sites: k, how many hospitals' vectors were added up; each brought noise of its own.
    """
    alone = agreement.metrics_sigma * layout_of(agreement).sensitivity
    return alone * math.sqrt(sites)


def noised_of(scores: Floats, labels: Floats, agreement: Agreement, draw: Draw) -> Noised:
    """Return the noised figures of scores against what was so, one of each per patient.

    Args:
        scores: As `figures.figures_of` takes them; what is no number counts as no score at all.
        labels: The same.
        agreement: Whose terms give layout, noise and minimum.
        draw: The noise; never used twice.
    """
    layout, deviation = layout_of(agreement), deviation_of(agreement)
    total = sum_of(np.asarray(scores, np.float64), np.asarray(labels, np.float64), layout)
    values = np.rint(GRID * (total + deviation * draw(layout.length))).astype(np.int64)
    said = Noised(layout.kind, decimal_text(deviation), tuple(values.tolist()))
    if agreement.figures_masked:  # nobody reads them: the minimum is held by their sum
        return said
    return _over_minimum(said, agreement, 1)


def summed(values: Iterable[int], agreement: Agreement, *, sites: int) -> Noised:
    """Return the sum of so many hospitals' vectors as what is said of all of them together."""
    noise = decimal_text(deviation_of(agreement, sites))
    said = Noised(layout_of(agreement).kind, noise, tuple(values))
    return _over_minimum(said, agreement, sites)


def _over_minimum(said: Noised, agreement: Agreement, sites: int) -> Noised:
    # By noised counts: the true ones, asked for a yes or no, would tell of the one patient that
    # makes a class reach its minimum.
    least = agreement.figures_minimum + _margin(agreement, sites)
    if min(_class_counts(said, layout_of(agreement))) < least:
        return Noised(said.kind, said.deviation, withheld=UNDER_MINIMUM)
    return said


def _margin(agreement: Agreement, sites: int) -> float:
    weight = layout_of(agreement).class_weight
    return _MARGIN * deviation_of(agreement, sites) / weight


def least_said(agreement: Agreement) -> int:
    """Return how many patients a class has whose figures are as likely said as not.

    Of one hospital; under masks of as many together as may close a round.
    """
    sites = agreement.sites.close_at_least if agreement.figures_masked else 1
    return math.ceil(agreement.figures_minimum + _margin(agreement, sites))


def sum_of(scores: Floats, labels: Floats, layout: Layout) -> Floats:
    """Return the vector of some patients without noise; each adds at most Δ."""
    parts = _PARTS[layout.kind](scores, labels, layout)
    total: Floats = parts.sum(axis=0)
    return total


def _binary(scores: Floats, labels: Floats, layout: Layout) -> Floats:
    p = np.clip(np.nan_to_num(scores, nan=_HALF), 0.0, 1.0)
    happened = labels > _HALF
    edges = 1 / (1 + np.exp(-np.asarray(layout.edges)))
    places = np.searchsorted(edges, p, side="left") + np.where(happened, 0, layout.bins)
    parts = np.zeros((len(p), layout.length))
    rows = np.arange(len(p))
    parts[rows, places] = 1
    first = 2 * layout.bins
    parts[rows, first + np.where(happened, 0, 1)] = _HALF
    parts[:, first + 2] = _HALF * _log_loss(np.where(happened, p, 1 - p)) / LOSS_LIMIT
    parts[:, first + 3] = _HALF * (p - happened) ** 2
    return parts


def _category(scores: Floats, labels: Floats, layout: Layout) -> Floats:
    p = np.clip(np.nan_to_num(scores, nan=0.0), 0.0, 1.0)
    so, rows = labels.astype(np.int64), np.arange(len(labels))
    parts = np.zeros((len(rows), layout.length))
    parts[rows, so] = 1
    parts[:, layout.classes] = p.argmax(axis=1) == so
    parts[:, layout.classes + 1] = _HALF * _log_loss(p[rows, so]) / LOSS_LIMIT
    return parts


def _real(scores: Floats, labels: Floats, layout: Layout) -> Floats:
    far = DEVIATIONS * layout.unit
    error = np.minimum(np.abs(np.nan_to_num(scores - labels, nan=far, posinf=far)), far)
    return np.stack([np.ones(len(labels)), (error / far) ** 2], axis=1)


def _log_loss(p: Floats) -> Floats:
    least = math.exp(-LOSS_LIMIT)
    clipped: Floats = -np.log(np.maximum(p, least))
    return clipped


_PARTS: Final = {"binary": _binary, "category": _category, "real": _real}


def _class_counts(said: Noised, layout: Layout) -> list[float]:
    first = 2 * layout.bins
    counts = said.values[first : first + layout.classes]
    return [value / GRID / layout.class_weight for value in counts]


def to_json(said: Noised) -> str:
    """Return the text that a disclosure carries."""
    fields = {
        "kind": said.kind,
        "noise": said.deviation,
        "values": said.values,
        "withheld": said.withheld,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def is_noised(text: str) -> bool:
    """Tell figures with noise from exact ones, by their text."""
    return '"noise":' in text


def parse(text: str) -> Noised:
    """Read what `to_json` writes, and nothing else.

    Raises:
        PeerFault: Another form, or numbers that cannot be.
    """
    fields = disclosed.fields_of(text, _fault)
    if set(fields) != {"kind", "noise", "values", "withheld"}:
        raise _fault("have other fields than ours")
    if fields["kind"] not in _PARTS or fields["withheld"] not in {"", UNDER_MINIMUM}:
        raise _fault("are of no kind, or withheld for no reason, that we know")
    said = Noised(
        fields["kind"], str(fields["noise"]), _values(fields["values"]), fields["withheld"]
    )
    if to_json(said) != text:  # else there were two readings of one disclosure
        raise _fault("are not in their one form")
    return said


def from_json(text: str, agreement: Agreement, sites: int = 1) -> Noised:
    """Read noised figures of just the vector that an agreement asks for.

    Args:
        text: What `to_json` writes.
        agreement: Whose terms give layout and noise.
        sites: How many hospitals' vectors are added up in it.

    Raises:
        PeerFault: Another form, another layout, other noise, or numbers that cannot be.
    """
    said, layout = parse(text), layout_of(agreement)
    # 1. Kind and noise are the agreement's. Stops numbers with less noise from passing.
    noise = decimal_text(deviation_of(agreement, sites))
    if (said.kind, said.deviation) != (layout.kind, noise):
        raise _fault("are not of the agreement's kind of target and noise")
    # 2. Numbers, or a reason. Stops counts under the minimum leaving after all.
    if len(said.values) != (0 if said.withheld else layout.length):
        raise _fault("hold other numbers than the agreement's layout")
    return said


def read(text: str, agreement: Agreement, sites: int = 1) -> Figures:
    """Read the figures of a disclosure, exact or noised as the agreement says.

    Args:
        text: What was disclosed.
        agreement: Whose terms it follows.
        sites: How many hospitals' vectors are added up in it.

    Raises:
        PeerFault: They are not of the agreement's kind.
    """
    if not agreement.metrics_noised:
        said = figures.from_json(text)
        if said.kind != agreement.data.target.kind:
            raise _fault("are of another kind of target")
        return said
    return figures_of(from_json(text, agreement, sites), layout_of(agreement))


def figures_of(said: Noised, layout: Layout) -> Figures:
    """Return noised figures as figures, which pool like exact ones; counts may be negative."""
    if said.withheld:
        return Figures(layout.kind, withheld=said.withheld)
    return _READERS[layout.kind]([value / GRID for value in said.values], layout)


def _read_binary(values: list[float], layout: Layout) -> Figures:
    bins, above = layout.bins, layout.edges.index(0.0) + 1
    positives = tuple(map(round, values[:bins]))
    negatives = tuple(map(round, values[bins : 2 * bins]))
    return Figures(
        "binary",
        positives=positives,
        negatives=negatives,
        correct=sum(positives[above:]) + sum(negatives[:above]),
        log_loss_sum=values[-2] / _HALF * LOSS_LIMIT,
        squared_error_sum=values[-1] / _HALF,
        count=sum(positives) + sum(negatives),
    )


def _read_category(values: list[float], layout: Layout) -> Figures:
    return Figures(
        "category",
        correct=round(values[-2]),
        log_loss_sum=values[-1] / _HALF * LOSS_LIMIT,
        count=round(sum(values[: layout.classes])),
    )


def _read_real(values: list[float], layout: Layout) -> Figures:
    far = DEVIATIONS * layout.unit
    return Figures("real", squared_error_sum=values[1] * far**2, count=round(values[0]))


_READERS: Final = {
    "binary": _read_binary,
    "category": _read_category,
    "real": _read_real,
}


def _values(said: Any) -> tuple[int, ...]:  # noqa: ANN401 -- JSON of a peer
    if not isinstance(said, list) or not all(
        type(value) is int and abs(value) <= _VALUE_LIMIT for value in said
    ):
        raise _fault("hold a number that cannot be")
    return tuple(said)


def _fault(what: str) -> PeerFault:
    return PeerFault(f"the figures {what}", rule="bad-figures")
