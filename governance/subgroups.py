"""Figures by subgroup: which groups an agreement names, how they travel, and what is safe.

Beside the figures of all of its held-out patients a hospital says those of each group, or that
a group is withheld: a fact without a reason and without a count. Figures are sums, so that
what is not said may follow by subtraction. Three rules keep it from that, and the coordinator
checks them again:

1. A group is shown when each of its classes has the minimum that holds for the whole.
2. What is left of the whole without the shown groups of a column is nobody, or has it too.
3. Of several bandings of one feature the first alone is shown: two near cuts would tell the
   few patients between them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from governance import figures
from governance.figures import BINS, Figures
from governance.privacy.releases import decimal_text
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from governance.agreement.data_terms import Data, Feature
    from governance.agreement.schema import Agreement
    from governance.figures import Kind

    Told = Mapping[str, tuple[Figures | None, ...]]
    """Of each column the figures of its groups in order; None for a group that is withheld."""

LABEL: Final = "subgroups"
"""The label under which they are disclosed."""
TEXT_LIMIT_CHARS: Final = 65_536
_GROUP_CHARS: Final = 1_500
"""No group's figures are longer, unless a hospital holds back millions of patients."""
_SUMS: Final = ("correct", "count", "log_loss_sum", "squared_error_sum")
_HISTOGRAMS: Final = ("negatives", "positives")


@dataclass(frozen=True, slots=True)
class Column:
    """What tells patients apart: a category, or the bands of a quantity.

    Args:
        name: As `data.subgroups` names it.
        feature: The feature that it is read from.
        groups: Each group in words, in order.
        cuts: Where each band but the first begins; none for a category.
    """

    name: str
    feature: str
    groups: tuple[str, ...]
    cuts: tuple[float, ...] = ()


def columns_of(data: Data) -> tuple[Column, ...]:
    """Return the columns that a data contract names as subgroups, in its order."""
    return tuple(_column(name, data.features) for name in data.subgroups)


def _column(name: str, features: Sequence[Feature]) -> Column:
    for feature in features:
        if feature.kind == "category" and feature.name == name:
            return Column(name, name, feature.values)
    feature = next(one for one in features if name in one.bands)
    cuts = feature.bands[name]
    between = (f"{decimal_text(a)} to under {decimal_text(b)}" for a, b in pairwise(cuts))
    first, last = f"under {decimal_text(cuts[0])}", f"{decimal_text(cuts[-1])} and over"
    return Column(name, feature.name, (first, *between, last), cuts)


def shown_columns(columns: Iterable[Column]) -> list[Column]:
    """Return the columns of which any group may be shown: one banding of each feature."""
    bandings: dict[str, str] = {}
    return [
        one
        for one in columns
        if not one.cuts or bandings.setdefault(one.feature, one.name) == one.name
    ]


def most_bytes(data: Data) -> int:
    """Return how long a hospital's figures by subgroup may be."""
    groups = sum(len(column.groups) for column in columns_of(data))
    return min(_GROUP_CHARS * groups, TEXT_LIMIT_CHARS)


def to_json(told: Told) -> str:
    """Return the text that a disclosure carries; a histogram as [bin, count] of those not 0."""
    said = {name: [_fields(one) for one in groups] for name, groups in told.items()}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def from_json(text: str, agreement: Agreement) -> dict[str, tuple[Figures | None, ...]]:
    """Read what `to_json` writes, for just the groups that an agreement names.

    Raises:
        PeerFault: Another form, another group, or figures that cannot be true.
    """
    if len(text) > TEXT_LIMIT_CHARS:
        raise _fault("are too long")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise _fault("are no JSON") from None
    columns = columns_of(agreement.data)
    # 1. Just the groups that all consented to. Stops a hospital from telling of others, and a
    #    coordinator from having them told.
    if not isinstance(said, dict) or set(said) != {column.name for column in columns}:
        raise _fault("are of other columns than the agreement's")
    kind = agreement.data.target.kind
    told = {one.name: _groups(said[one.name], one, kind) for one in columns}
    # 2. One text for the same figures. Stops two readings of one disclosure.
    if to_json(told) != text:
        raise _fault("are not in their one form")
    return told


def check(told: Told, whole: Figures, agreement: Agreement) -> None:
    """Check that figures by subgroup tell of nobody whom the minimum hides.

    Raises:
        PeerFault: A rule of this module is broken, or the groups are not parts of the whole.
    """
    minimum, columns = agreement.figures_minimum, columns_of(agreement.data)
    # 1. Groups are parts of what was said. Stops figures of patients who are not in the whole.
    shown = {name: [one for one in groups if one] for name, groups in told.items()}
    if whole.withheld and any(shown.values()):
        raise _fault("are said although those of all patients are withheld")
    # 2. Nobody under the minimum is shown. Stops a group of few from leaving.
    if not all(enough(one, minimum) for groups in shown.values() for one in groups):
        raise _fault("are of a group under the minimum")
    # 3. Nor is what is left. Stops the rest of a column from following by subtraction.
    for groups in shown.values():
        left = rest(whole, groups)
        if groups and left.count and not enough(left, minimum):
            raise _fault("leave a rest under the minimum")
    # 4. One banding of a feature. Stops the few between two cuts from following.
    hidden = {column.name for column in columns} - {c.name for c in shown_columns(columns)}
    if any(shown[name] for name in hidden):
        raise _fault("are by two bandings of one feature")


def enough(said: Figures, minimum: int) -> bool:
    """Tell whether figures are of as many patients (of each class, when binary) as must be."""
    classes = sum(said.positives), sum(said.negatives)
    least = min(classes) if said.kind == "binary" else said.count
    return least >= max(minimum, 1)


def rest(whole: Figures, parts: Iterable[Figures]) -> Figures:
    """Return how many patients of a whole are in none of these groups; sums are left out.

    Raises:
        PeerFault: The groups have patients whom the whole has not.
    """
    every = list(parts)
    positives = _left(whole.positives, [one.positives for one in every])
    negatives = _left(whole.negatives, [one.negatives for one in every])
    (count,) = _left((whole.count,), [(one.count,) for one in every])
    return Figures(whole.kind, positives=positives, negatives=negatives, count=count)


def _left(whole: tuple[int, ...], parts: list[tuple[int, ...]]) -> tuple[int, ...]:
    left = tuple(all_ - sum(each) for all_, *each in zip(whole, *parts, strict=True))
    if min(left) < 0:
        raise _fault("have more patients than all together")
    return left


def _fields(one: Figures | None) -> dict[str, Any] | None:
    if one is None:
        return None
    bins = {name: _sparse(getattr(one, name)) for name in _HISTOGRAMS}
    sums = json.loads(figures.to_json(one))
    return {**bins, **{name: sums[name] for name in _SUMS}}


def _sparse(histogram: tuple[int, ...]) -> list[list[int]]:
    return [[place, count] for place, count in enumerate(histogram) if count]


def _groups(said: object, column: Column, kind: Kind) -> tuple[Figures | None, ...]:
    if not isinstance(said, list) or len(said) != len(column.groups):
        raise _fault("are of other groups than the agreement's")
    return tuple(_group(one, kind) for one in said)


def _group(said: object, kind: Kind) -> Figures | None:
    if said is None:
        return None
    if not isinstance(said, dict) or set(said) != {*_SUMS, *_HISTOGRAMS}:
        raise _fault("have other fields than ours")
    bins = {name: list(_dense(said[name])) for name in _HISTOGRAMS}
    whole = {**said, **bins, "kind": kind, "withheld": ""}
    return figures.from_json(json.dumps(whole, sort_keys=True, separators=(",", ":")))


def _dense(pairs: object) -> Iterator[int]:
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and list(map(type, pair)) == [int, int] for pair in pairs
    ):
        raise _fault("hold a histogram that is no list of bins with counts")
    counts = dict(pairs)
    if len(counts) != len(pairs) or not counts.keys() <= set(range(BINS)):
        raise _fault("hold a histogram with other bins than ours")
    return (counts.get(place, 0) for place in range(BINS))


def _fault(what: str) -> PeerFault:
    return PeerFault(f"the figures by subgroup {what}", rule="bad-figures")
