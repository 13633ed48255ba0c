"""Check a cohort against the agreement's data contract: what it finds is counts, never a value.

Whatever reads but is not as agreed is a finding here; what can't be read was refused before.
A value outside its range, a cell that is no number, a code that nobody explained: one is enough
to break the contract. Missing values may be as many as the agreement says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from site_agent.data import column_findings, duplicates
from site_agent.data.findings import Finding, Findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.data_terms import Target
    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings, ColumnMap
    from site_agent.data.table import Table


def check(table: Table, agreement: Agreement, cohort: CohortSettings) -> Findings:
    """Compare records with the contract.

    Args:
        table: What `table.read` made of the cohort, opt-outs left out.
        agreement: Whose contract it is.
        cohort: Its settings, for the units and codes that a remedy would replace.
    """
    patients = len(np.unique(table.patient[table.usable]))
    rows = [
        *_cohort(table, agreement, patients),
        *_target(table, agreement.data.target, cohort.map[agreement.data.target.name]),
        *(
            row
            for feature in agreement.data.features
            for row in column_findings.of_feature(
                table.features[feature.name], feature, cohort.map[feature.name]
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
        # Who is registered twice is protected as two, so that ε would be understated.
        meets = twice <= duplicates.tolerated(table)
        said = _twice(meets=meets)
        yield Finding("patients", said, twice, patients, meets=meets, hint=meets)


def _twice(*, meets: bool) -> str:
    said = "the same record under two identifiers"
    if meets:
        return f"{said}, no more than chance may bring; if a patient is registered twice, merge"
    return f"{said}, more than chance brings: merge in the file those registered twice"


def _target(table: Table, target: Target, mapping: ColumnMap) -> Iterator[Finding]:
    column, records = table.target, len(table.patient)
    if column.missing:
        yield Finding(
            target.name, "missing: these records are left out", column.missing, records
        )
    known = ", ".join(target.values) if target.values else "0 and 1"
    yield from column_findings.of_unread(column, target, known)
    yield from column_findings.of_range(column, target, mapping)
    if target.prevalence is not None and table.usable.any():
        yield _prevalence(table, target)
    if target.values is not None:
        yield _values(table, target.values, target.name)


def _values(table: Table, values: tuple[str, ...], name: str) -> Finding:
    """Say how many of a category's values are there, and not which: not all need be."""
    seen, records = table.target.values[table.usable], len(table.patient)
    finding = f"{len(np.unique(seen))} of its {len(values)} values are there"
    return Finding(name, finding, len(seen), records)


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
