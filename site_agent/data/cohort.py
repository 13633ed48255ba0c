"""Make a cohort ready to train: encoded, normalised, and held-out patients apart for ever.

A patient is held out when HMAC-SHA256(site secret, identifier) is below the share, as a
fraction of 2²⁵⁶: the same patient in every round, agreement and year, and nobody without the
secret can tell which. Patients are ordered by that HMAC, so that the same seed draws the same
batch however the file is sorted.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from governance import subgroups
from site_agent.data import table as tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature, Target
    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings
    from site_agent.data.table import Column, Table


@dataclass(frozen=True, slots=True)
class PatientSet:
    """Records, ordered by patient.

    Args:
        features: Model inputs, float32, records × width.
        target: float32; 0 or 1 where binary, the place of its value where a category,
            normalised by the reference where real.
        patient: For each record its patient, from 0 to `patients` − 1, ascending.
        patients: How many there are.
        groups: For each record the place of its group in each column of subgroups; −1 where
            the value is missing, or outside of its range.
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]
    patient: NDArray[np.int64]
    patients: int
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cohort:
    """All that may be used of a cohort under an agreement.

    Args:
        patients: How many, held-out ones included.
        train: Those who train.
        held_out: Those who never do.
        left_out: Records without a target (or one within its range) or without an identifier.
    """

    patients: int
    train: PatientSet
    held_out: PatientSet
    left_out: int


def load(
    cohort: CohortSettings, agreement: Agreement, *, secret: bytes, opt_outs: frozenset[str]
) -> Cohort:
    """Read a cohort, without the patients who opted out, and make it ready.

    Args:
        cohort: Where it is and what its columns mean.
        agreement: Features, their order, references and fills.
        secret: The site's own, never to leave it.
        opt_outs: Identifiers as the file writes them.

    Raises:
        Refused: The source can't be read or lacks what the agreement needs.
    """
    table = tables.read(cohort, agreement, opt_outs=opt_outs)
    return of_table(table, agreement, secret=secret, held_out=cohort.held_out)


def of_table(table: Table, agreement: Agreement, *, secret: bytes, held_out: float) -> Cohort:
    """Make a cohort of records that are read already."""
    target = _target(table.target, agreement.data.target)
    usable = np.flatnonzero((table.patient >= 0) & ~np.isnan(target))
    patients = np.unique(table.patient[usable])
    macs = {int(p): hmac.digest(secret, table.ids[p].encode(), "sha256") for p in patients}
    ordered = sorted(macs, key=macs.__getitem__)
    bound = int(Fraction(held_out) * 2**256)
    cut = sum(int.from_bytes(mac, "big") < bound for mac in macs.values())
    rank = np.full(len(table.ids), -1, dtype=np.int64)
    rank[ordered] = np.arange(len(ordered))
    records = usable[np.argsort(rank[table.patient[usable]], kind="stable")]
    inputs = [_encoded(table.features[f.name], f)[records] for f in agreement.data.features]
    features = np.concatenate(inputs, axis=1, dtype=np.float32)
    groups = {name: places[records] for name, places in _groups(table, agreement)}
    whole = PatientSet(
        features,
        target[records].astype(np.float32),
        rank[table.patient[records]],
        len(ordered),
        groups,
    )
    return Cohort(
        patients=len(ordered),
        train=_part(whole, first=cut, last=len(ordered)),
        held_out=_part(whole, first=0, last=cut),
        left_out=len(table.patient) - len(records),
    )


def of_features(table: Table, agreement: Agreement) -> PatientSet:
    """Make records with an identifier ready to be scored, in the order of `table.ids`."""
    usable = np.flatnonzero(table.patient >= 0)
    records = usable[np.argsort(table.patient[usable], kind="stable")]
    inputs = [_encoded(table.features[f.name], f)[records] for f in agreement.data.features]
    features = np.concatenate(inputs, axis=1, dtype=np.float32)
    nothing = np.zeros(len(records), np.float32)
    return PatientSet(features, nothing, table.patient[records], len(table.ids))


def _part(whole: PatientSet, *, first: int, last: int) -> PatientSet:
    start, end = np.searchsorted(whole.patient, (first, last))
    return PatientSet(
        whole.features[start:end],
        whole.target[start:end],
        whole.patient[start:end] - first,
        last - first,
        {name: places[start:end] for name, places in whole.groups.items()},
    )


def _groups(table: Table, agreement: Agreement) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each column of subgroups with each record's place in it, before any fill."""
    features = {feature.name: feature for feature in agreement.data.features}
    for column in subgroups.columns_of(agreement.data):
        values = _within(table.features[column.feature], features[column.feature])
        bands = np.searchsorted(column.cuts, values, side="right")
        places = bands if column.cuts else values
        yield column.name, np.where(np.isnan(values), -1, places).astype(np.int64)


def _target(column: Column, target: Target) -> NDArray[np.float64]:
    values = _within(column, target)
    if target.reference is None:
        return values
    return (values - target.reference.mean) / target.reference.std


def _encoded(column: Column, feature: Feature) -> NDArray[np.float64]:
    """Return a feature's model inputs, records × its width; its fill where it is missing."""
    values = _within(column, feature)
    fill = feature.missing.fill
    if feature.kind == "category":
        place = feature.values.index(fill) if fill in feature.values else -1
        filled = np.where(np.isnan(values), place, values)
        chosen: NDArray[np.bool_] = filled[:, None] == np.arange(len(feature.values))
        return chosen.astype(np.float64)
    mean, std = (
        (feature.reference.mean, feature.reference.std) if feature.reference else (0.0, 1.0)
    )
    filled = np.where(np.isnan(values), mean if fill is None else fill, values)
    return ((filled - mean) / std)[:, None]


def _within(column: Column, field: Feature | Target) -> NDArray[np.float64]:
    """Return the values, NaN for those outside the range: they never train as they stand."""
    if field.range is None:
        return column.values
    low, high = field.range
    inside = (column.values >= low) & (column.values <= high)
    return np.where(inside, column.values, np.nan)
