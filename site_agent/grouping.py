"""Held-out patients by subgroup, and which groups a hospital says.

A patient is in the group that most of its records are in, the first one in a tie; a patient
whose value is missing is in none. Beside the rules of `governance.subgroups` a hospital keeps
one that only it can check, since nobody else knows who is in two groups at once: of two shown
groups of different columns, when nobody is in both, or in just one of them, or in neither, the
four numbers follow from the two (as when each pregnant patient is a woman); none of them may
be under the minimum then, or the smaller group is withheld. A rest under the minimum likewise
makes the smallest shown group of its column withheld, until none is.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NewType

import numpy as np

from governance import subgroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from governance.figures import Figures
    from governance.subgroups import Column
    from site_agent.data.cohort import PatientSet

    Mask = NDArray[np.bool_]
    Judge = Callable[[Mask], Figures]
    """Returns the figures of some patients, withheld as those of all would be."""

Group = NewType("Group", tuple[str, int])
"""A column and a place in it."""


def by_group(
    part: PatientSet, columns: Sequence[Column], judge: Judge
) -> dict[str, tuple[Figures | None, ...]]:
    """Return the figures of each group that a hospital says, and None for the others.

    Args:
        part: The patients.
        columns: Those of the agreement.
        judge: What says the figures of some of them.
    """
    masks = dict(_masks(part, subgroups.shown_columns(columns)))
    said = {group: judge(mask) for group, mask in masks.items()}
    shown = {group: masks[group] for group, one in said.items() if not one.withheld}
    for pair in list(_telling(shown, judge)):
        if shown.keys() >= set(pair):
            del shown[_smallest(shown, pair)]
    for column in columns:
        _hide_the_rest(shown, column, judge)
    told = {
        column.name: tuple(
            said[group] if (group := Group((column.name, place))) in shown else None
            for place in range(len(column.groups))
        )
        for column in columns
    }
    return _fitting(told)


def _masks(part: PatientSet, columns: Sequence[Column]) -> Iterator[tuple[Group, Mask]]:
    for column in columns:
        places = _places(part, column)
        for place in range(len(column.groups)):
            yield Group((column.name, place)), places == place


def _places(part: PatientSet, column: Column) -> NDArray[np.int64]:
    """Return the group that each patient is in, or −1."""
    width = len(column.groups)
    of_records = part.groups[column.name]
    known = of_records >= 0
    cells = part.patient[known] * width + of_records[known]
    votes = np.bincount(cells, minlength=part.patients * width).reshape(-1, width)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def _hide_the_rest(shown: dict[Group, Mask], column: Column, judge: Judge) -> None:
    """Withhold the smallest groups of a column until what is left of the whole is safe."""
    while mine := [group for group in shown if group[0] == column.name]:
        left = ~np.any([shown[group] for group in mine], axis=0)
        if not left.any() or not judge(left).withheld:
            return
        del shown[_smallest(shown, mine)]


def _telling(shown: Mapping[Group, Mask], judge: Judge) -> Iterator[tuple[Group, Group]]:
    """Yield pairs of groups of two columns from which a number under the minimum follows."""
    for one, other in combinations(list(shown), 2):
        if one[0] == other[0]:
            continue
        p, q = shown[one], shown[other]
        cells = (p & q, p & ~q, ~p & q, ~p & ~q)
        there = [cell for cell in cells if cell.any()]
        if len(there) < len(cells) and any(judge(cell).withheld for cell in there):
            yield one, other


def _smallest(shown: Mapping[Group, Mask], groups: Sequence[Group]) -> Group:
    return min(groups, key=lambda group: int(shown[group].sum()))


def _fitting(
    told: dict[str, tuple[Figures | None, ...]],
) -> dict[str, tuple[Figures | None, ...]]:
    """Withhold whole columns, the last first, until the text may travel."""
    for name in reversed(told):
        if len(subgroups.to_json(told)) <= subgroups.TEXT_LIMIT_CHARS:
            break
        told = {**told, name: (None,) * len(told[name])}
    return told
