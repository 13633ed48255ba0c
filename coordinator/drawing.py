"""The hospitals of a round: all that are ready, or as many as the agreement has drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coordinator.store import record
from governance.draw import draw, seed_of
from protos.words import SiteName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from governance.agreement.load import Document


def drawn(
    connection: Connection, document: Document, ready: Iterable[SiteName], round_: int
) -> tuple[list[SiteName], dict[str, Any]]:
    """Return the sites of a round, and what `round-opened` says of how they were drawn."""
    among, per_round = sorted(ready), document.agreement.sites.per_round
    if per_round == "all":
        return among, {}
    seed = seed_of(record.statement_in_force(connection, document.digest), round_)
    sites = [SiteName(site) for site in draw(seed, among, per_round)]
    return sites, {"drawn_from": among, "seed": seed}


def judges(
    connection: Connection, document: Document, round_: int, attempt: int
) -> frozenset[SiteName]:
    """Return who may be asked for figures beside the sites of a round: those it was drawn from.

    Else a gate would compare two rounds of other hospitals, that is, nothing.
    """
    if document.agreement.sites.per_round == "all":
        return frozenset()
    return frozenset(record.drawn_from(connection, round_, attempt))
