"""What a recovered ledger says of where training stood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from governance.ledger.schema import agreements, exit_steps, rounds
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Open:
    """An attempt that was at work: its place, and who was asked."""

    agreement: Digest
    round: int
    attempt: int
    sites: tuple[SiteName, ...]


def open_attempt(connection: Connection) -> Open | None:
    """Return the attempt that the ledger says is open, if one is."""
    row = connection.execute(select(rounds).where(rounds.c.state == "open")).first()
    if row is None:
        return None
    sites = tuple(SiteName(site) for site in json.loads(row.sites))
    return Open(Digest(row.agreement), int(row.round), int(row.attempt), sites)


def committed(connection: Connection) -> tuple[Digest, Digest]:
    """Return the model and strategy state that training goes on from; empty for none."""
    closed = connection.execute(
        select(rounds.c.ended_seq, rounds.c.model_out, rounds.c.state_out)
        .where(rounds.c.state == "closed")
        .order_by(rounds.c.ended_seq.desc())
        .limit(1)
    ).first()
    moved = connection.execute(
        select(exit_steps.c.seq, exit_steps.c.model, exit_steps.c.state)
        .where(exit_steps.c.model != "")
        .order_by(exit_steps.c.seq.desc())
        .limit(1)
    ).first()
    known = [tuple(row) for row in (closed, moved) if row is not None]
    latest = max(known, default=(0, "", ""))
    return Digest(latest[1] or ""), Digest(latest[2] or "")


def agreements_ever(connection: Connection) -> frozenset[str]:
    """Return every agreement that was proposed."""
    return frozenset(connection.execute(select(agreements.c.digest)).scalars())
