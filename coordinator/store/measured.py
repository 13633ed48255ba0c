"""What the record says of statistics: who released sums, and what they were combined to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from governance import normalisation
from governance.ledger import project_statistics
from governance.ledger.schema import disclosures, entries
from governance.statements import parse_time
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.normalisation import Scales


@dataclass(frozen=True, slots=True)
class Said:
    """One site's sums as it disclosed them, the commitment to them, and when they came."""

    commitment: Digest
    text: str
    received_at: datetime


def released(connection: Connection, basis: str) -> dict[SiteName, Said]:
    """Return by site the last sums of a basis that are still disclosed."""
    found: dict[SiteName, Said] = {}
    for seq, statement in project_statistics.released(connection, basis=basis):
        row = connection.execute(
            select(disclosures.c.value, entries.c.received_at)
            .join(entries, entries.c.seq == disclosures.c.seq)
            .where(disclosures.c.seq == seq, disclosures.c.label == normalisation.LABEL)
        ).first()
        if row is not None:
            site = SiteName(statement.actor.partition("/")[2])
            told = statement.commitments[normalisation.LABEL]
            found[site] = Said(told, row.value, parse_time(row.received_at))
    return found


def scales(connection: Connection, basis: str) -> Scales | None:
    """Return what the statistics of a basis were combined to, if they were."""
    found = project_statistics.combined(connection, basis)
    return None if found is None else normalisation.read(found[1].body["values"])


def seqs(connection: Connection, document: Document) -> list[int]:
    """Return the entry by which an agreement's quantities are normalised, if there is one."""
    if not document.agreement.statistics_federated:
        return []
    basis = normalisation.basis_of(document.agreement)
    found = project_statistics.combined(connection, basis)
    return [] if found is None else [found[0]]
