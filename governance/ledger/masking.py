"""Whose keys and patients count in a masked sum, by a ledger up to one of its entries.

The coordinator that opens a round and each site that is asked into it read the same entries,
and so come to the same roster; a site believes no agent key but one that an officer key of the
agreement vouched for when that hospital enrolled, or that a key so vouched followed it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import statements
from governance.ledger.reading import standing_at
from governance.ledger.schema import entries, keys
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from governance.agreement.load import Document

_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)


def agents_at(c: Connection, document: Document, size: int) -> dict[str, KeyId]:
    """Return the agent key of every hospital of the roster whose officers vouched for it."""
    rows = c.execute(
        select(keys.c.name, keys.c.usage, keys.c.key_id, keys.c.until_seq)
        .where(
            keys.c.name.in_(document.agreement.sites.roster),
            keys.c.usage.in_(("agent", "officer")),
            keys.c.from_seq < size,
        )
        .order_by(keys.c.from_seq)
    ).all()
    agents: dict[str, KeyId] = {}
    for site, officers in document.agreement.sites.roster.items():
        own = [row for row in rows if row.name == site]
        enrolled = {row.key_id for row in own if row.usage == "officer"}
        held = [
            row.key_id
            for row in own
            if row.usage == "agent" and (row.until_seq is None or row.until_seq >= size)
        ]
        if officers and set(officers) <= enrolled and held:
            agents[site] = KeyId(held[-1])
    return agents


def declared_at(c: Connection, document: Document, size: int) -> dict[str, int]:
    """Return the patients that each hospital of the roster declared under an agreement."""
    standing = standing_at(c, _EVER, until=size)
    declared = {}
    for site in document.agreement.sites.roster:
        held = standing.consent(site, document.digest)
        if held is not None and held.terms is not None:
            declared[site] = held.terms.declared_patients
    return declared


def evaluation(
    c: Connection,
    place: Mapping[str, Any],
    *,
    until: int | None = None,
    kind: str = "evaluation-opened",
) -> Mapping[str, Any] | None:
    """Return what an entry says of an attempt's figures under masks, None where there is none.

    Args:
        c: A connection.
        place: Its agreement, round and attempt.
        until: Entries from here on are not looked at; None looks at all.
        kind: Of the entry.
    """
    question = (
        select(entries.c.envelope)
        .where(
            entries.c.kind == kind,
            entries.c.agreement == place["agreement"],
            entries.c.round == place["round"],
            entries.c.attempt == place["attempt"],
        )
        .order_by(entries.c.seq.desc())
        .limit(1)
    )
    if until is not None:
        question = question.where(entries.c.seq < until)
    envelope = c.execute(question).scalar()
    return None if envelope is None else statements.read(envelope).body
