"""What an auditor asks of patients: how many stood behind a consent, how many are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from governance.ledger.paging import WHOLE, Cut, Page
from governance.ledger.schema import entries, patient_counts, reservations
from governance.terminal import Answer

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection, Row

_PATIENTS: Final = ("seq", "received_at", "site", "cohort", "what", "patients", "from_round")
_NOTE: Final = (
    "left-out counts patients who opted out: some, or whole tens; who they are is nowhere. "
    "from_round is the first round that the site reserved budget for since."
)


def patients(c: Connection, *, site: str | None = None, page: Page = WHOLE) -> Answer:
    """Say how many patients each site declared, and since which round some are left out."""
    question = select(patient_counts, entries.c.received_at).join(
        entries, entries.c.seq == patient_counts.c.seq
    )
    if site is not None:
        question = question.where(patient_counts.c.site == site)
    counted = select(func.count()).select_from(question.subquery())
    ordered = page.of(question.order_by(patient_counts.c.seq), patient_counts.c.seq)
    said, more = page.cut(c.execute(ordered).all())
    rows = [
        (
            row.seq,
            row.received_at,
            row.site,
            row.cohort,
            row.what,
            row.patients,
            _first_round(c, row),
        )
        for row in said
    ]
    in_all = c.execute(counted).scalar_one()
    cut = Cut(len(rows), int(in_all), int(said[-1].seq) if more else None)
    return Answer(
        _PATIENTS,
        rows,
        title="Patients declared, and left out",
        notes=(_NOTE, *cut.notes) if rows else ("No site declared any patients.",),
        facts=cut.facts,
    )


def _first_round(c: Connection, row: Row[Any]) -> int | None:
    """Return the first round whose training at a site was reserved for after an entry."""
    found = c.execute(
        select(reservations.c.round)
        .where(
            reservations.c.site == row.site,
            reservations.c.cohort == row.cohort,
            reservations.c.seq > row.seq,
        )
        .order_by(reservations.c.seq)
        .limit(1)
    ).scalar()
    return None if found is None else int(found)
