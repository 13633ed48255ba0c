"""What a model card says of each subgroup: pooled figures, of how many hospitals, or nothing.

A group's figures are the pool of the hospitals that showed it. Where a hospital's own figures
are its own (`quality.visible_to: own-site`) a pool rests on three hospitals at least, since of
two each takes away its own and has the other's. The same holds for what is left of all patients
without the shown groups of a column: the smallest group is withheld too until nobody is left,
or patients of three hospitals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from governance import subgroups
from governance.figures import pooled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.store.released import Inside
    from governance.agreement.schema import Agreement
    from governance.figures import Figures
    from governance.subgroups import Column, Told
    from protos.words import SiteName

LEAST_HOSPITALS: Final = 3
_FEW_PATIENTS: Final = "too few patients of a class, at every hospital that has any"
_FEW_HOSPITALS: Final = "it would rest on too few hospitals, or tell of one by subtraction"


def composed(
    agreement: Agreement, made: Inside, *, told: Callable[[Figures], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each group that the agreement names, and what is withheld of all.

    Args:
        agreement: The agreement of the round.
        made: What the record says of the round's model.
        told: What a card says of figures.
    """
    columns = subgroups.columns_of(agreement.data)
    if not columns:
        return [], []
    said = {site: subgroups.from_json(text, agreement) for site, text in made.subgroups.items()}
    if not said:
        names = ", ".join(column.name for column in columns)
        return [], [f"figures by subgroup ({names}), which no hospital said"]
    least = LEAST_HOSPITALS if agreement.quality.visible_to == "own-site" else 1
    rows: list[dict[str, Any]] = []
    for column in columns:
        parts = [_parts(said, column, place) for place in range(len(column.groups))]
        shown = _shown(parts, made.figures, least)
        for place, (value, part) in enumerate(zip(column.groups, parts, strict=True)):
            row = {"subgroup": column.name, "value": value}
            rows.append({**row, **_of_group(part, told, is_shown=place in shown)})
    silent = [
        site for site, whole in made.figures.items() if not whole.withheld and site not in said
    ]
    few = f"{len(silent)} of the hospitals inside it said no figures by subgroup"
    return rows, [few] if silent else []


def _of_group(
    part: Mapping[SiteName, Figures],
    told: Callable[[Figures], dict[str, Any]],
    *,
    is_shown: bool,
) -> dict[str, Any]:
    if not is_shown:
        return {"withheld": _FEW_HOSPITALS if part else _FEW_PATIENTS}
    together = pooled(part[site] for site in sorted(part))
    return {**told(together), "hospitals": len(part)}


def _parts(
    said: Mapping[SiteName, Told], column: Column, place: int
) -> dict[SiteName, Figures]:
    """Return the figures of one group, of each hospital that showed it."""
    every = ((site, told[column.name][place]) for site, told in said.items())
    return {site: figures for site, figures in every if figures is not None}


def _shown(
    parts: list[dict[SiteName, Figures]], whole: Mapping[SiteName, Figures], least: int
) -> set[int]:
    """Return the places of the groups that the card may show."""
    shown = {place for place, part in enumerate(parts) if len(part) >= least}
    while shown and 0 < _left(parts, shown, whole) < least:
        shown.remove(min(shown, key=lambda place: (_patients(parts[place]), place)))
    return shown


def _left(
    parts: list[dict[SiteName, Figures]], shown: set[int], whole: Mapping[SiteName, Figures]
) -> int:
    """Return of how many hospitals there are patients in none of the shown groups."""
    return sum(
        figures.count > sum(parts[place][site].count for place in shown if site in parts[place])
        for site, figures in whole.items()
    )


def _patients(part: Mapping[SiteName, Figures]) -> int:
    return sum(figures.count for figures in part.values())
