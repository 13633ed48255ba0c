"""Records as an agreement sees them: its features and units, whatever the hospital's own are.

`site.yaml` maps each feature to a column with a unit (scale, offset) and codes. A value is then
there, missing, or unread: text where a number is due, a code that nobody explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protos.errors import Refused
from site_agent.data import cells, csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature, Target
    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings, ColumnMap


@dataclass(frozen=True, slots=True)
class Column:
    """One feature of all records.

    Args:
        values: A record's value in the agreement's unit, or the place of its category in the
            agreement's list; NaN where it is missing or unread.
        missing: How many records have none.
        unread: How many hold what is no number, no known code, no known category.
    """

    values: NDArray[np.float64]
    missing: int
    unread: int


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a cohort; a patient may have several.

    Args:
        ids: The patients' identifiers, each once, in order of appearance.
        patient: For each record the place of its patient in `ids`; -1 where it names none.
        features: By the agreement's names, in its order.
        target: What is predicted.
    """

    ids: tuple[str, ...]
    patient: NDArray[np.int64]
    features: Mapping[str, Column]
    target: Column

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Return which records could train: those with a patient and a target."""
        return (self.patient >= 0) & ~np.isnan(self.target.values)


def read(
    cohort: CohortSettings, agreement: Agreement, *, opt_outs: frozenset[str] = frozenset()
) -> Table:
    """Read a cohort's records, without those of patients who opted out.

    Raises:
        Refused: The source can't be read, lacks a column that the agreement needs, or has
            nothing but text where numbers are due. The message holds no value of a record.
    """
    fields: list[Feature | Target] = [agreement.data.target, *agreement.data.features]
    mappings = [_mapping(cohort, field.name) for field in fields]
    meanings = [cells.meaning(*pair) for pair in zip(fields, mappings, strict=True)]
    ids: dict[str, int] = {}
    patients: list[NDArray[np.int64]] = []
    parts: list[list[NDArray[np.float64]]] = [[] for _ in fields]
    wanted = [cohort.patient_id, *(mapping.column for mapping in mappings)]
    gone = {name.strip() for name in opt_outs}
    source = cohort.source
    for own, *columns in csv.read(source.csv, encoding=source.encoding, columns=wanted):
        numbers = _numbered(own, ids)
        kept = ~np.isin(numbers, [ids[name] for name in gone & ids.keys()])
        patients.append(numbers[kept])
        for part, column, mean in zip(parts, columns, meanings, strict=True):
            part.append(mean(column)[kept])
    made = [
        _column(np.concatenate(part), field, mapping, where=str(source.csv))
        for part, field, mapping in zip(parts, fields, mappings, strict=True)
    ]
    names = [feature.name for feature in agreement.data.features]
    return Table(
        ids=tuple(ids),
        patient=np.concatenate(patients),
        features=dict(zip(names, made[1:], strict=True)),
        target=made[0],
    )


def _mapping(cohort: CohortSettings, name: str) -> ColumnMap:
    try:
        return cohort.map[name]
    except KeyError:
        raise Refused(
            f"the agreement's {name} has no column in this cohort",
            todo=f"Name its column under `map` in site.yaml: {name}: {{column: …}}.",
            rule="unmapped-feature",
        ) from None


def _numbered(own: Sequence[str], ids: dict[str, int]) -> NDArray[np.int64]:
    """Return each record's patient by number, in order of first appearance; -1 for none."""

    def number(cell: str) -> int:
        name = cell.strip()
        return -1 if cells.is_missing(name) else ids.setdefault(name, len(ids))

    return np.fromiter(map(number, own), np.int64, len(own))


def _column(
    values: NDArray[np.float64], field: Feature | Target, mapping: ColumnMap, *, where: str
) -> Column:
    missing, unread = np.isnan(values), np.isinf(values)
    numbers = field.kind != "category" and not mapping.codes
    if numbers and unread.any() and not np.isfinite(values).any():
        raise _no_numbers(field, mapping, where)
    if field.kind == "binary":
        unread = unread | ~(missing | np.isin(values, (0.0, 1.0)))
    return Column(
        np.where(unread, np.nan, values), missing=int(missing.sum()), unread=int(unread.sum())
    )


def _no_numbers(field: Feature | Target, mapping: ColumnMap, where: str) -> Refused:
    return Refused(
        f"the column {mapping.column}, mapped to {field.name}, holds no number at all",
        where=where,
        todo=(
            "If it holds codes, say under `map` in site.yaml what they stand for: "
            "`codes: {…}`; if its decimal sign is a comma, export it with a point."
        ),
        rule="not-numeric",
    )
