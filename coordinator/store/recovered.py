"""What a recovered ledger says of where training stood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from governance.ledger.prepared import Prepared
from governance.ledger.schema import agreements, entries, exit_steps, rounds
from protos.words import Digest, SiteName, TaskId

if TYPE_CHECKING:
    from sqlalchemy import Connection

_RECOVERIES: Final = Prepared(select(entries.c.seq).where(entries.c.kind == "log-recovered"))


@dataclass(frozen=True, slots=True)
class Open:
    """An attempt that was at work: its place, and who was asked."""

    agreement: Digest
    round: int
    attempt: int
    sites: tuple[SiteName, ...]
    opened_seq: int


def open_attempt(connection: Connection) -> Open | None:
    """Return the attempt that the ledger says is open, if one is."""
    row = connection.execute(select(rounds).where(rounds.c.state == "open")).first()
    if row is None:
        return None
    sites = tuple(SiteName(site) for site in json.loads(row.sites))
    return Open(
        Digest(row.agreement), int(row.round), int(row.attempt), sites, int(row.opened_seq)
    )


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


def task_of(
    connection: Connection,
    federation: str,
    at: tuple[int, int],
    what: str = "train",
    *,
    before: int | None = None,
) -> TaskId:
    """Return the id of a task of an attempt.

    It counts the recoveries before the attempt was opened: the round that a lost log held, and
    one that is held in its place, are two tasks of a hospital, each with its own cost.

    Args:
        connection: A connection to the log.
        federation: Its name.
        at: The round and the attempt.
        what: What is to be done in it.
        before: The seq of the entry that opened it; None for one that is opened now.
    """
    recoveries = _RECOVERIES.all(connection)
    number = sum(before is None or row.seq < before for row in recoveries)
    name = f"{federation}/{at[0]}/{at[1]}/{what}"
    return TaskId(f"{name}/{number}" if number else name)
