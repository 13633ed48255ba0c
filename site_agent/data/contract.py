"""Check a cohort against the agreement's data contract: what it finds is counts, never a value.

Whatever reads but is not as agreed is a finding here; what can't be read was refused before.
A value outside its range, a cell that is no number, a code that nobody explained: one is enough
to break the contract. Missing values may be as many as the agreement says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from site_agent.data import duplicates, units
from site_agent.data.findings import Finding, Findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.data_terms import Feature, Target
    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings
    from site_agent.data.table import Column, Table


def check(table: Table, agreement: Agreement, cohort: CohortSettings) -> Findings:
    """Compare records with the contract.

    Args:
        table: What `table.read` made of the cohort, opt-outs left out.
        agreement: Whose contract it is.
        cohort: Its settings, for the scale that a mended one would replace.
    """
    patients = len(np.unique(table.patient[table.usable]))
    rows = [
        *_cohort(table, agreement, patients),
        *_target(table, agreement.data.target),
        *(
            row
            for feature in agreement.data.features
            for row in _feature(
                table.features[feature.name], feature, scale=cohort.map[feature.name].scale
            )
        ),
    ]
    return Findings(tuple(rows), patients=patients, records=len(table.patient))


def _cohort(table: Table, agreement: Agreement, patients: int) -> Iterator[Finding]:
    minimum, records = agreement.data.minimum_patients, len(table.patient)
    yield Finding(
        "patients",
        f"with a target; the agreement wants at least {minimum}",
        patients,
        len(np.unique(table.patient[table.patient >= 0])),
        meets=patients >= minimum,
    )
    nameless = int(np.sum(table.patient < 0))
    if nameless:
        finding = "without a patient's identifier, who could not opt out"
        yield Finding("records", finding, nameless, records, meets=False)
    twice = duplicates.patients_sharing_a_record(table)
    if twice:
        meets = twice <= duplicates.tolerated(table)
        yield Finding(
            "patients", "the same record under two identifiers", twice, patients, meets=meets
        )


def _target(table: Table, target: Target) -> Iterator[Finding]:
    column, records = table.target, len(table.patient)
    if column.missing:
        yield Finding(
            target.name, "missing: these records are left out", column.missing, records
        )
    if column.unread:
        yield Finding(
            target.name, _unread(target, "0 and 1"), column.unread, records, meets=False
        )
    yield from _outside(column, target, records)
    if target.prevalence is not None and table.usable.any():
        yield _prevalence(table, target)


def _prevalence(table: Table, target: Target) -> Finding:
    """Return the share of patients with the outcome, in which each patient weighs the same."""
    assert target.prevalence is not None
    low, high = target.prevalence
    patient = table.patient[table.usable]
    each = np.bincount(patient, weights=table.target.values[table.usable])
    records = np.bincount(patient)
    share = each[records > 0] / records[records > 0]
    return Finding(
        target.name,
        f"prevalence; the agreement wants {100 * low:g} % to {100 * high:g} %",
        round(float(share.sum())),
        len(share),
        meets=bool(low <= share.mean() <= high),
    )


def _feature(column: Column, feature: Feature, *, scale: float) -> Iterator[Finding]:
    records = len(column.values)
    rows = [*_absent(column, feature, records), *_outside(column, feature, records)]
    if feature.kind == "real":
        rows += _unit(column, feature, scale=scale)
    if not rows:
        rows.append(Finding(feature.name, "as agreed", records, records))
    yield from rows


def _absent(column: Column, feature: Feature, records: int) -> Iterator[Finding]:
    at_most = feature.missing.at_most
    if column.missing:
        yield Finding(
            feature.name,
            f"missing; at most {100 * at_most:g} % may be",
            column.missing,
            records,
            meets=column.missing <= at_most * records,
        )
    if column.unread:
        finding = _unread(feature, ", ".join(feature.values))
        yield Finding(feature.name, finding, column.unread, records, meets=False)


def _outside(column: Column, field: Feature | Target, records: int) -> Iterator[Finding]:
    if field.range is None:
        return
    low, high = field.range
    with np.errstate(invalid="ignore"):
        outside = int(np.sum((column.values < low) | (column.values > high)))
    if outside:
        unit = f" {field.unit}" if field.unit else ""
        finding = f"outside {low:g} to {high:g}{unit}"
        yield Finding(field.name, finding, outside, records, meets=False)


def _unread(field: Feature | Target, known: str) -> str:
    if field.kind == "real":
        return "not a number"
    return f"a code that `codes` in site.yaml does not turn into one of {known}"


def _unit(column: Column, feature: Feature, *, scale: float) -> Iterator[Finding]:
    """Say that a column looks like another unit, or like other patients."""
    present = int(np.sum(~np.isnan(column.values)))
    mending = units.mending_scale(column.values, feature, scale=scale)
    if mending is not None:
        finding = f"looks like another unit: try `scale: {mending:g}` in site.yaml"
        yield Finding(feature.name, finding, present, len(column.values), meets=True)
    elif units.is_shifted(column.values, feature):
        finding = "its middle is more than 3 standard deviations from the reference"
        yield Finding(feature.name, finding, present, len(column.values), meets=True)
