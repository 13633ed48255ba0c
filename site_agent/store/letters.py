"""The session's numbers, the messages not yet acknowledged, and the list of all that left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table, delete, func, insert, select

from governance.statements import timestamp
from protos import codec
from protos.words import FromSite
from site_agent.store.database import metadata
from site_agent.store.notes import SENT, TAKEN, note, set_note

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from protos.words import FromSiteBody

_outbox: Final = Table(
    "outbox",
    metadata,
    Column("federation", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("message", LargeBinary, nullable=False),
)
_sent: Final = Table(
    "sent",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=True),
    Column("federation", String, nullable=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("readers", String, nullable=False),
    Column("rule", String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Left:
    """Something that left: when, what, bytes, SHA-256, what allowed it, who can read it."""

    at: datetime
    kind: str
    size: int
    digest: str
    rule: str
    readers: str = "coordinator"


def taken(c: Connection, federation: str) -> int:
    """Return the last numbered message of the coordinator that is durably taken."""
    return int(note(c, federation, TAKEN) or 0)


def set_taken(c: Connection, federation: str, seq: int) -> None:
    """Note that a message is taken, in the transaction of what it changed."""
    set_note(c, federation, TAKEN, str(seq))


def send(c: Connection, federation: str, body: FromSiteBody, *, at: datetime, rule: str) -> int:
    """Put a message into the outbox, to be sent until acknowledged; return its number.

    `rule` is what allowed it to leave, for the hospital's list of what was sent.
    """
    seq = int(note(c, federation, SENT) or 0) + 1
    set_note(c, federation, SENT, str(seq))
    message = codec.from_site_bytes(FromSite(body, seq=seq))
    c.execute(insert(_outbox).values(federation=federation, seq=seq, message=message))
    digest = hashlib.sha256(message).hexdigest()
    record(c, federation, Left(at, type(body).__name__, len(message), digest, rule))
    return seq


def unsent(c: Connection, federation: str, *, after: int) -> list[FromSite]:
    """Return the messages above `after` that are not acknowledged, in order."""
    rows = c.execute(
        select(_outbox.c.message)
        .where(_outbox.c.federation == federation, _outbox.c.seq > after)
        .order_by(_outbox.c.seq)
    )
    return [codec.from_site_parse(row.message) for row in rows]


def acknowledged(c: Connection, federation: str, seq: int) -> None:
    """Forget what the coordinator has durably taken."""
    c.execute(delete(_outbox).where(_outbox.c.federation == federation, _outbox.c.seq <= seq))


def record(c: Connection, federation: str, left: Left) -> None:
    """List something that leaves."""
    c.execute(
        insert(_sent).values(
            federation=federation,
            at=timestamp(left.at),
            kind=left.kind,
            bytes=left.size,
            digest=left.digest,
            readers=left.readers,
            rule=left.rule,
        )
    )


def bytes_sent(c: Connection, *, since: datetime) -> int:
    """Return how many bytes left the hospital since a moment, for all its federations."""
    total = c.execute(
        select(func.sum(_sent.c.bytes)).where(_sent.c.at >= timestamp(since))
    ).scalar()
    return int(total or 0)
