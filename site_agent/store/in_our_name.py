"""What the copy of the ledger says in this site's name, to be held against its journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select

from governance.ledger.schema import entries, rounds
from governance.ledger.store import Own
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from sqlalchemy import Connection


def entries_of(c: Connection, actor: str) -> list[Own]:
    """Return every entry that somebody is said to have signed, in order."""
    e = entries.c
    wanted = select(e.seq, e.statement, e.kind, e.signer, e.counter).where(e.actor == actor)
    return [
        Own(row.seq, Digest(row.statement), row.kind, KeyId(row.signer), row.counter)
        for row in c.execute(wanted.order_by(e.seq))
    ]


def counted_in(c: Connection, site: str) -> dict[tuple[int, int], int]:
    """Return where attempts closed with a site's update inside: seq by (round, attempt)."""
    r = rounds.c
    rows = c.execute(
        select(r.round, r.attempt, r.ended_seq, r.sites_in).where(r.state == "closed")
    )
    return {
        (int(row.round), int(row.attempt)): int(row.ended_seq)
        for row in rows
        if site in json.loads(row.sites_in or "[]")
    }
