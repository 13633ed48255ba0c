"""What the copy of the ledger says of this site: in its name, and what it was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from governance.ledger.schema import contributions, entries, keys, reservations, rounds
from governance.ledger.store import Own
from governance.privacy.releases import TRAINING, Release
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


@dataclass(frozen=True, slots=True)
class Open:
    """An attempt that asked this site and is not settled; `reserved` says it is paid for."""

    agreement: str
    round: int
    attempt: int
    task: str
    reserved: bool


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


def keys_of(c: Connection, name: str) -> frozenset[str]:
    """Return every key that a name ever had."""
    return frozenset(c.execute(select(keys.c.key_id).where(keys.c.name == name)).scalars())


def open_attempts(
    c: Connection, site: str, federation: str
) -> tuple[list[Open], list[Release]]:
    """Return the attempts that asked a site and have nothing of it yet, and what they release.

    The second is what anybody reserved for training under their agreements: a round of one
    agreement releases the same of all.
    """
    found: list[Open] = []
    releases: list[Release] = []
    for row in c.execute(select(rounds).where(rounds.c.state == "open")).all():
        made = (contributions.c.round == row.round, contributions.c.attempt == row.attempt)
        mine = select(contributions.c.site).where(*made, contributions.c.site == site)
        if site not in json.loads(row.sites) or c.execute(mine).first() is not None:
            continue
        task = _task(c, federation, row)
        paid = select(reservations.c.task).where(
            reservations.c.site == site, reservations.c.task == task
        )
        reserved = c.execute(paid).first() is not None
        found.append(Open(row.agreement, int(row.round), int(row.attempt), task, reserved))
        releases += _of_agreement(c, row.agreement)
    return found, releases


def _of_agreement(c: Connection, agreement: str) -> list[Release]:
    settings = (
        reservations.c.sampling_rate,
        reservations.c.noise_multiplier,
        reservations.c.steps,
    )
    at = (reservations.c.round == rounds.c.round, reservations.c.attempt == rounds.c.attempt)
    wanted = (
        select(*settings)
        .join(rounds, and_(*at))
        .where(rounds.c.agreement == agreement, reservations.c.purpose == TRAINING)
        .distinct()
    )
    return [
        Release(float(q), float(sigma), int(steps)) for q, sigma, steps in c.execute(wanted)
    ]


def _task(c: Connection, federation: str, row: Row[tuple[object, ...]]) -> str:
    """Return the id of a training task, which counts the log's recoveries before it."""
    recoveries = select(func.count()).where(
        entries.c.kind == "log-recovered", entries.c.seq < row.opened_seq
    )
    number = int(c.execute(recoveries).scalar_one())
    name = f"{federation}/{row.round}/{row.attempt}/train"
    return f"{name}/{number}" if number else name


def proposals(c: Connection) -> dict[str, str]:
    """Return when each agreement was proposed last, by its digest."""
    wanted = select(entries.c.agreement, entries.c.received_at).where(
        entries.c.kind == "agreement-proposed"
    )
    return {
        str(row.agreement): row.received_at for row in c.execute(wanted.order_by(entries.c.seq))
    }
