"""Patients who opted out of a cohort, by the identifiers that the hospital's file writes.

They are kept for every federation that uses the cohort, also those who are not in the file yet,
and never leave the site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, String, Table, bindparam, delete, func, insert, select

from governance.ledger.prepared import Prepared
from governance.statements import timestamp
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

_AT_A_TIME: Final = 500

_opt_outs: Final = Table(
    "opt_outs",
    metadata,
    Column("cohort", String, primary_key=True),
    Column("patient", String, primary_key=True),
    Column("since", String, nullable=False),
)
_OF_COHORT: Final = Prepared(
    select(_opt_outs.c.patient).where(_opt_outs.c.cohort == bindparam("cohort"))
)


def add(c: Connection, cohort: str, patients: Iterable[str], *, at: datetime) -> int:
    """Keep these patients as opted out; return how many are new."""
    new = sorted(set(patients) - of_cohort(c, cohort))
    since = timestamp(at)
    if new:
        rows = [{"cohort": cohort, "patient": one, "since": since} for one in new]
        c.execute(insert(_opt_outs), rows)
    return len(new)


def remove(c: Connection, cohort: str, patients: Iterable[str]) -> int:
    """Forget that these patients opted out; return how many had."""
    gone = sorted(set(patients) & of_cohort(c, cohort))
    for start in range(0, len(gone), _AT_A_TIME):
        some = gone[start : start + _AT_A_TIME]
        c.execute(
            delete(_opt_outs).where(_opt_outs.c.cohort == cohort, _opt_outs.c.patient.in_(some))
        )
    return len(gone)


def of_cohort(c: Connection, cohort: str) -> frozenset[str]:
    """Return the patients who opted out of a cohort."""
    return frozenset(row.patient for row in _OF_COHORT.all(c, cohort=cohort))


def listed(c: Connection, cohort: str) -> list[tuple[str, str]]:
    """Return who opted out of a cohort, each with the time since when, the oldest first."""
    rows = c.execute(
        select(_opt_outs.c.patient, _opt_outs.c.since)
        .where(_opt_outs.c.cohort == cohort)
        .order_by(_opt_outs.c.since, _opt_outs.c.patient)
    )
    return [(row.patient, row.since) for row in rows]


def count(c: Connection, cohort: str) -> int:
    """Return how many opted out of a cohort."""
    wanted = select(func.count()).where(_opt_outs.c.cohort == cohort)
    return int(c.execute(wanted).scalar_one())
