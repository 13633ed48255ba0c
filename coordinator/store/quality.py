"""What was said of a model's quality: by each site, or by all together under masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from coordinator.store import record
from governance import noised, statements
from governance.ledger.kinds_masks import FIGURES, SUMMED
from governance.ledger.schema import disclosures, entries, evaluations, rounds
from governance.statements import parse_time
from protos.words import SiteName

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.figures import Figures
    from protos.words import Digest


@dataclass(frozen=True, slots=True)
class Summed:
    """Figures of these sites together, of which nobody read one hospital's."""

    sites: tuple[SiteName, ...]
    figures: Figures

    @property
    def name(self) -> SiteName:
        """The name under which they stand where each site's do: no site has it.

        Two of them compare where they are of the same sites, and else not at all.
        """
        return SiteName("+".join(self.sites))


def said(
    connection: Connection, round_: int, attempt: int, model: Digest
) -> dict[SiteName, Figures]:
    """Return the figures of one candidate, by site; a masked sum stands under one name."""
    document = _document(connection, round_, attempt)
    if document is None:
        return {}
    if document.agreement.figures_masked:
        sum_ = summed(connection, round_, attempt, model)
        return {} if sum_ is None else {sum_.name: sum_.figures}
    told = record.figures(connection, round_, attempt, model)
    return {site: noised.read(text, document.agreement) for site, text in told.items()}


def arrivals(
    connection: Connection, round_: int, attempt: int, model: Digest
) -> dict[SiteName, datetime]:
    """Return when each site first said figures of one candidate."""
    rows = connection.execute(
        select(evaluations.c.site, func.min(entries.c.received_at).label("at"))
        .join(entries, entries.c.seq == evaluations.c.seq)
        .where(
            evaluations.c.round == round_,
            evaluations.c.attempt == attempt,
            evaluations.c.model == model,
        )
        .group_by(evaluations.c.site)
    )
    return {SiteName(row.site): parse_time(row.at) for row in rows}


def summed(connection: Connection, round_: int, attempt: int, model: Digest) -> Summed | None:
    """Return what the masked sum of a candidate's figures came to, None where there is none."""
    document = _document(connection, round_, attempt)
    if document is None or not document.agreement.figures_masked:
        return None
    rows = connection.execute(
        select(entries.c.envelope, disclosures.c.value)
        .join(disclosures, disclosures.c.seq == entries.c.seq)
        .where(
            entries.c.kind == SUMMED,
            entries.c.agreement == document.digest,
            entries.c.round == round_,
            entries.c.attempt == attempt,
            disclosures.c.label == FIGURES,
        )
    )
    for row in rows:
        body = statements.read(row.envelope).body
        if body["model"] == model:
            sites = tuple(SiteName(site) for site in sorted(body["sites"]))
            read = noised.read(row.value, document.agreement, sites=len(sites))
            return Summed(sites, read)
    return None


def _document(connection: Connection, round_: int, attempt: int) -> Document | None:
    here = (rounds.c.round == round_, rounds.c.attempt == attempt)
    digest = connection.execute(select(rounds.c.agreement).where(*here)).scalar()
    return None if digest is None else record.read_document(connection, digest)
