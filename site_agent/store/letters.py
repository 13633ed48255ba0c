"""The session's numbers, and the messages that are not acknowledged yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table, delete, insert, select

from protos import codec
from protos.words import FromSite
from site_agent.store.database import metadata
from site_agent.store.notes import LEFT, SENT, TAKEN, note, set_note

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import FromSiteBody

_outbox: Final = Table(
    "outbox",
    metadata,
    Column("federation", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("message", LargeBinary, nullable=False),
    Column("rule", String),
)


def taken(c: Connection, federation: str) -> int:
    """Return the last numbered message of the coordinator that is durably taken."""
    return int(note(c, federation, TAKEN) or 0)


def set_taken(c: Connection, federation: str, seq: int) -> None:
    """Note that a message is taken, in the transaction of what it changed."""
    set_note(c, federation, TAKEN, str(seq))


def send(c: Connection, federation: str, body: FromSiteBody, *, rule: str) -> int:
    """Put a message into the outbox, to be sent until acknowledged; return its number.

    `rule` is what allowed it to leave, for the hospital's list of what was sent.
    """
    seq = int(note(c, federation, SENT) or 0) + 1
    set_note(c, federation, SENT, str(seq))
    message = codec.from_site_bytes(FromSite(body, seq=seq))
    row = {"federation": federation, "seq": seq, "message": message, "rule": rule}
    c.execute(insert(_outbox).values(row))
    return seq


def rule_of(c: Connection, federation: str, seq: int) -> str:
    """Return what allowed a message of the outbox to leave."""
    found = c.execute(
        select(_outbox.c.rule).where(_outbox.c.federation == federation, _outbox.c.seq == seq)
    ).scalar()
    return str(found or "")


def unsent(c: Connection, federation: str, *, after: int) -> list[FromSite]:
    """Return the messages above `after` that are not acknowledged, in order."""
    rows = c.execute(
        select(_outbox.c.message)
        .where(_outbox.c.federation == federation, _outbox.c.seq > after)
        .order_by(_outbox.c.seq)
    )
    return [codec.from_site_parse(row.message) for row in rows]


def begin_anew(c: Connection, federation: str) -> None:
    """Forget what was said to and heard from a federation that this site left."""
    c.execute(delete(_outbox).where(_outbox.c.federation == federation))
    for name in (SENT, TAKEN, LEFT):
        set_note(c, federation, name, "")


def acknowledged(c: Connection, federation: str, seq: int) -> None:
    """Forget what the coordinator has durably taken."""
    c.execute(delete(_outbox).where(_outbox.c.federation == federation, _outbox.c.seq <= seq))
