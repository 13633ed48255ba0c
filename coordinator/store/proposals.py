"""What the record says of proposals: when each was made, and what sites answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from governance.ledger.schema import agreements, consents, disclosures, entries
from governance.statements import parse_time

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def proposed_at(connection: Connection, agreement: str) -> datetime:
    """Return when an agreement was proposed."""
    moment = connection.execute(
        select(entries.c.received_at)
        .join(agreements, agreements.c.proposed_seq == entries.c.seq)
        .where(agreements.c.digest == agreement)
    ).scalar_one()
    return parse_time(moment)


def dissents(connection: Connection, agreement: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Return by site how it said no to an agreement, and what it disclosed with that."""
    rows = connection.execute(
        select(consents.c.site, consents.c.state, disclosures.c.label, disclosures.c.value)
        .outerjoin(disclosures, disclosures.c.seq == consents.c.changed_seq)
        .where(
            consents.c.agreement == agreement, consents.c.state.in_(("objected", "declined"))
        )
        .order_by(consents.c.site)
    )
    told: dict[str, tuple[str, dict[str, str]]] = {}
    for row in rows:
        said = told.setdefault(row.site, (row.state, {}))[1]
        if row.label is not None:
            said[row.label] = row.value
    return told
