"""Records as an agreement sees them: its features and units, whatever the hospital's own are.

`site.yaml` maps each feature to a column with a unit (scale, offset) and codes. A value is then
there, missing, or unread: text where a number is due, a code that nobody explained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from governance.agreement import data_terms as terms
from protos.errors import Refused
from site_agent.data import cells, csv
from site_agent.data.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
        kinds: Of what kinds those are.
    """

    values: NDArray[np.float64]
    missing: int
    unread: int
    kinds: Unread = field(default_factory=Unread)


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a cohort; a patient may have several.

    Args:
        ids: The patients' identifiers, each once, in order of appearance.
        patient: For each record the place of its patient in `ids`; -1 where it names none.
        features: By the agreement's names, in its order.
        target: What is predicted.
        opted_out: Who is in the source and left out here, since they opted out.
    """

    ids: tuple[str, ...]
    patient: NDArray[np.int64]
    features: Mapping[str, Column]
    target: Column
    opted_out: frozenset[str] = frozenset()

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
    return _read(cohort, fields, cohort.source.csv, opt_outs)


def read_features(cohort: CohortSettings, agreement: Agreement, path: Path) -> Table:
    """Read the features alone of records in another file of a cohort's form; raises as `read`.

    The target is missing in each of them.
    """
    return _read(cohort, list(agreement.data.features), path, frozenset())


def _read(
    cohort: CohortSettings,
    fields: Sequence[Feature | Target],
    path: Path,
    opt_outs: frozenset[str],
) -> Table:
    _require_mapped(cohort, [field.name for field in fields])
    mappings = [cohort.map[field.name] for field in fields]
    comma = cohort.source.decimal == "comma"
    pairs = zip(fields, mappings, strict=True)
    parts = [_Part(f, cells.meaning(f, mapping, comma=comma)) for f, mapping in pairs]
    ids: dict[str, int] = {}
    patients: list[NDArray[np.int64]] = []
    wanted = [cohort.patient_id, *(mapping.column for mapping in mappings)]
    gone = {name.strip() for name in opt_outs}
    read_from = csv.read(
        path, encoding=cohort.source.encoding, columns=wanted, patient_id=cohort.patient_id
    )
    for own, *columns in read_from:
        numbers = _numbered(own, ids)
        kept = ~np.isin(numbers, [ids[name] for name in gone & ids.keys()])
        patients.append(numbers[kept])
        for part, column in zip(parts, columns, strict=True):
            part.take(column, kept)
    where = str(path)
    made = {
        part.terms.name: part.column(mapping, where=where)
        for part, mapping in zip(parts, mappings, strict=True)
    }
    patient = np.concatenate(patients)
    nothing = Column(np.full(len(patient), np.nan), len(patient), 0)
    target = next((f.name for f in fields if isinstance(f, terms.Target)), "")
    return Table(
        ids=tuple(ids),
        patient=patient,
        features={name: column for name, column in made.items() if name != target},
        target=made.get(target, nothing),
        opted_out=frozenset(gone & ids.keys()),
    )


def _require_mapped(cohort: CohortSettings, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in cohort.map]
    if absent:
        verb, its = ("has", "its column") if len(absent) == 1 else ("have", "a column for each")
        raise Refused(
            f"the agreement's {', '.join(absent)} {verb} no column in this cohort",
            todo=f"Name {its} under `map` in site.yaml: {absent[0]}: {{column: …}}.",
            rule="unmapped-feature",
        )


def _numbered(own: Sequence[str], ids: dict[str, int]) -> NDArray[np.int64]:
    """Return each record's patient by number, in order of first appearance; -1 for none."""

    def number(cell: str) -> int:
        name = cell.strip()
        return -1 if cells.is_missing(name) else ids.setdefault(name, len(ids))

    return np.fromiter(map(number, own), np.int64, len(own))


@dataclass(slots=True)
class _Part:
    """One column while it is read, batch by batch."""

    terms: Feature | Target
    mean: cells.Meaning
    values: list[NDArray[np.float64]] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)

    def take(self, column: Sequence[str], kept: NDArray[np.bool_]) -> None:
        """Take a batch's cells, but for those of patients who opted out."""
        values = self.mean(column)
        bad = np.isinf(values)
        if self.terms.kind == "binary":
            bad |= ~np.isnan(values) & ~np.isin(values, (0.0, 1.0))
        self.unread.note(column[place] for place in np.flatnonzero(bad & kept).tolist())
        self.values.append(np.where(bad, np.inf, values)[kept])

    def column(self, mapping: ColumnMap, *, where: str) -> Column:
        """Return what was read.

        Raises:
            Refused: there is nothing but text where numbers are due.
        """
        values = np.concatenate(self.values)
        numbers = self.terms.kind != "category" and not mapping.codes
        only_text = self.unread.count and not np.isfinite(values).any()
        if numbers and only_text and not self.unread.sentinels:
            raise _no_numbers(self.terms, mapping, self.unread, where)
        missing = int(np.isnan(values).sum())
        known = np.where(np.isinf(values), np.nan, values)
        return Column(known, missing, self.unread.count, self.unread)


def _no_numbers(
    field: Feature | Target, mapping: ColumnMap, unread: Unread, where: str
) -> Refused:
    mend = "If it holds codes, say under `map` in site.yaml what they stand for: `codes: {…}`."
    if unread.commas:
        mend = "Its decimal sign is a comma: say `decimal: comma` in site.yaml's `source`."
    return Refused(
        f"the column {mapping.column}, mapped to {field.name}, holds no number at all",
        where=where,
        todo=mend,
        rule="not-numeric",
    )
