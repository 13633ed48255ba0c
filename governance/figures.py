"""Figures of quality: what one site says of a model on its held-out patients.

Sums and histograms only, so that sites' figures pool exactly and no score leaves. The area
under the ROC curve comes from one histogram of scores per class; scores in one bin are ties and
count half (Hanley and McNeil 1982). The 50 bins are evenly spaced on the logit scale between −8
and 8, so that rare outcomes, whose scores crowd near zero, stay apart. A class with fewer
patients than the agreement's minimum makes a site withhold all of its figures. Of a category
with several values there are no histograms: how many patients the model is right on, and sums.
Where an agreement wants noise, `noised` makes one flat vector of them and reads it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from governance import disclosed
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

Kind = Literal["binary", "real", "category"]

BINS: Final = 50
UNDER_MINIMUM: Final = "under-minimum"
NO_FIGURES: Final = "no-figures"
NOT_FINITE: Final = "not-finite"

_LOGIT_LIMIT: Final = 8.0
_EDGES: Final = 1 / (1 + np.exp(-np.linspace(-_LOGIT_LIMIT, _LOGIT_LIMIT, BINS - 1)))
_SCORE_MARGIN: Final = 1e-7
_COUNT_LIMIT: Final = 1 << 40
_REASONS: Final = {"", UNDER_MINIMUM, NO_FIGURES, NOT_FINITE}
_NO_BINS: Final = (0,) * BINS


@dataclass(frozen=True, slots=True)
class Figures:
    """What one site, or several pooled, say of one model.

    Attributes:
        kind: `binary`, `real` or `category`, as the agreement's target.
        withheld: Why there are no figures, or empty; then all the rest is zero.
        positives: Patients with the outcome per score bin; zeros unless the target is binary.
        negatives: Patients without it.
        correct: Patients on whose side of 0.5 the score is, or whose value is the likeliest.
        log_loss_sum: Sum of −log of the probability given to what happened, in nats.
        squared_error_sum: Sum of squared differences of score and target; 0 for a category.
        count: Patients.
    """

    kind: Kind
    withheld: str = ""
    positives: tuple[int, ...] = _NO_BINS
    negatives: tuple[int, ...] = _NO_BINS
    correct: int = 0
    log_loss_sum: float = 0.0
    squared_error_sum: float = 0.0
    count: int = 0

    def auc(self) -> float | None:
        """Return the area under the ROC curve, or None without patients of both classes."""
        with_outcome, without = sum(self.positives), sum(self.negatives)
        pairs = with_outcome * without
        if with_outcome <= 0 or without <= 0:  # noised counts may be below zero
            return None
        halves = below = 0  # integers, so that the order of sites cannot matter
        for positive, negative in zip(self.positives, self.negatives, strict=True):
            halves += positive * (2 * below + negative)
            below += negative
        return min(max(halves / (2 * pairs), 0.0), 1.0)

    def accuracy(self) -> float | None:
        """Return the share of patients that the model is right on, or None."""
        mean = self._mean(self.correct, "binary", "category")
        return None if mean is None else min(mean, 1.0)

    def log_loss(self) -> float | None:
        """Return the mean log-loss in nats, or None."""
        return self._mean(self.log_loss_sum, "binary", "category")

    def brier(self) -> float | None:
        """Return the mean squared error of the probabilities, or None."""
        return self._mean(self.squared_error_sum, "binary")

    def rmse(self) -> float | None:
        """Return the root of the mean squared error in the target's unit, or None."""
        mean = self._mean(self.squared_error_sum, "real")
        return None if mean is None else math.sqrt(mean)

    def metric(self, name: str) -> float | None:
        """Return the metric of this name (a key of `METRICS`), or None where there is none."""
        return METRICS[name](self)

    def _mean(self, total: float, *kinds: Kind) -> float | None:
        if self.kind not in kinds or self.count <= 0:
            return None
        return max(total / self.count, 0.0)  # noise may take a sum below zero


METRICS: Final[Mapping[str, Callable[[Figures], float | None]]] = {
    "auc": Figures.auc,
    "accuracy": Figures.accuracy,
    "log-loss": Figures.log_loss,
    "brier": Figures.brier,
    "rmse": Figures.rmse,
}
HIGHER_IS_BETTER: Final = frozenset({"auc", "accuracy"})


def figures_of(
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    kind: Kind,
    minimum: int,
    each_class: bool = True,
) -> Figures:
    """Return the figures of scores against what happened, one of each per patient.

    Args:
        scores: Probabilities when binary, one for each value when a category (patients ×
            values), else predictions in the target's unit.
        labels: 0 or 1 when binary, places of values when a category, else values in the
            target's unit.
        kind: What the target is.
        minimum: Patients (of each class when binary) under which nothing is said.
        each_class: Whether the minimum holds for each value of a category that any patient
            has, or for all patients together; what is said does not tell the values apart.
    """
    s, t = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    if not np.isfinite(s).all():
        return Figures(kind, withheld=NOT_FINITE)
    if kind == "real":
        return _real(s, t, minimum=minimum)
    if kind == "category":
        return _category(s, t.astype(np.int64), minimum=minimum, each_class=each_class)
    happened = t > 0.5
    if min(happened.sum(), (~happened).sum()) < max(minimum, 1):
        return Figures(kind, withheld=UNDER_MINIMUM)
    p = np.clip(s, _SCORE_MARGIN, 1 - _SCORE_MARGIN)  # a sure score that is wrong costs 16 nats
    return Figures(
        kind,
        positives=_histogram(s[happened]),
        negatives=_histogram(s[~happened]),
        correct=int(((s > 0.5) == happened).sum()),
        log_loss_sum=float(-np.log(np.where(happened, p, 1 - p)).sum()),
        squared_error_sum=float(((s - t) ** 2).sum()),
        count=s.size,
    )


def pooled(parts: Iterable[Figures]) -> Figures:
    """Return the figures of all patients together; those withheld are left out.

    Raises:
        PeerFault: Figures of different kinds of target are mixed.
    """
    every = list(parts)
    if len({part.kind for part in every}) > 1:
        raise PeerFault("figures of different kinds of target", rule="bad-figures")
    said = [part for part in every if not part.withheld]
    if not said:
        return Figures(every[0].kind if every else "binary", withheld=NO_FIGURES)
    return Figures(
        said[0].kind,
        positives=_added(part.positives for part in said),
        negatives=_added(part.negatives for part in said),
        correct=sum(part.correct for part in said),
        log_loss_sum=math.fsum(part.log_loss_sum for part in said),
        squared_error_sum=math.fsum(part.squared_error_sum for part in said),
        count=sum(part.count for part in said),
    )


def to_json(figures: Figures) -> str:
    """Return the text that a disclosure carries; sums as decimal strings."""
    fields: dict[str, object] = {name: getattr(figures, name) for name in _READERS}
    for name in ("log_loss_sum", "squared_error_sum"):
        fields[name] = repr(fields[name])
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Figures:
    """Read what `to_json` writes, and nothing else.

    Raises:
        PeerFault: Another form, or figures that cannot be true.
    """
    figures = _parse(text)
    # 1. One text for the same figures. Stops two readings of one disclosure.
    if to_json(figures) != text:
        raise _fault("are not in their one form")
    # 2. Nothing beside a reason. Stops counts under the minimum leaving after all.
    if figures.withheld and figures != Figures(figures.kind, withheld=figures.withheld):
        raise _fault("are withheld and said")
    # 3. Counts agree. Stops a site weighing more in the pool than its patients.
    histogram = sum(figures.positives) + sum(figures.negatives)
    in_bins = figures.count if figures.kind == "binary" else 0
    right_at_most = 0 if figures.kind == "real" else figures.count
    if histogram != in_bins or figures.correct > right_at_most:
        raise _fault("count patients in different ways")
    if not figures.count and not figures.withheld:
        raise _fault("are of no patient")
    return figures


def _real(s: NDArray[np.float64], t: NDArray[np.float64], *, minimum: int) -> Figures:
    if s.size < max(minimum, 1):
        return Figures("real", withheld=UNDER_MINIMUM)
    with np.errstate(over="ignore"):
        total = float(((s - t) ** 2).sum())
    if not math.isfinite(total):
        return Figures("real", withheld=NOT_FINITE)
    return Figures("real", squared_error_sum=total, count=s.size)


def _category(
    s: NDArray[np.float64], t: NDArray[np.int64], *, minimum: int, each_class: bool
) -> Figures:
    classes = np.bincount(t)
    told = classes[classes > 0] if each_class else classes.sum(keepdims=True)
    if not t.size or told.min() < max(minimum, 1):
        return Figures("category", withheld=UNDER_MINIMUM)
    given = np.clip(s[np.arange(t.size), t], _SCORE_MARGIN, 1 - _SCORE_MARGIN)
    return Figures(
        "category",
        correct=int((s.argmax(axis=1) == t).sum()),
        log_loss_sum=float(-np.log(given).sum()),
        count=t.size,
    )


def _histogram(scores: NDArray[np.float64]) -> tuple[int, ...]:
    bins = np.searchsorted(_EDGES, scores, side="right")
    return tuple(np.bincount(bins, minlength=BINS).tolist())


def _added(histograms: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*histograms, strict=True)))


def _parse(text: str) -> Figures:
    fields = disclosed.fields_of(text, _fault)
    if set(fields) != set(_READERS):
        raise _fault("have other fields than ours")
    return Figures(**{name: read(fields[name]) for name, read in _READERS.items()})


def _kind(value: object) -> Kind:
    if value == "binary":
        return "binary"
    if value == "real":
        return "real"
    if value == "category":
        return "category"
    raise _fault("are of no kind that we know")


def _reason(value: object) -> str:
    if not isinstance(value, str) or value not in _REASONS:
        raise _fault("are withheld for no reason that we know")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _COUNT_LIMIT:
        raise _fault("hold a number that is no count")
    return value


def _bins(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != BINS:
        raise _fault(f"hold a histogram of other than {BINS} bins")
    return tuple(map(_count, value))


def _sum(value: object) -> float:
    if not isinstance(value, str) or len(value) > 32:
        raise _fault("hold a sum that is no decimal")
    try:
        number = float(value)
    except ValueError:
        raise _fault("hold a sum that is no decimal") from None
    if not (math.isfinite(number) and number >= 0):
        raise _fault("hold a sum that is negative or not finite")
    return number


def _fault(what: str) -> PeerFault:
    return PeerFault(f"the figures {what}", rule="bad-figures")


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "kind": _kind,
    "withheld": _reason,
    "positives": _bins,
    "negatives": _bins,
    "correct": _count,
    "log_loss_sum": _sum,
    "squared_error_sum": _sum,
    "count": _count,
}
