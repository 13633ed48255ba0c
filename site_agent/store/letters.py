"""The session's numbers, and the messages that are not acknowledged yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from governance.ledger.prepared import Prepared
from protos import codec
from protos.words import FromSite
from site_agent.store.database import mail, metadata
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
_MINE: Final = _outbox.c.federation == bindparam("this_federation")
_PUT: Final = Prepared(insert(_outbox), ("federation", "seq", "message", "rule"))
_RULE: Final = Prepared(
    select(_outbox.c.rule).where(_MINE, _outbox.c.seq == bindparam("this_seq"))
)
_ABOVE: Final = Prepared(
    select(_outbox.c.message)
    .where(_MINE, _outbox.c.seq > bindparam("after"))
    .order_by(_outbox.c.seq)
    .limit(bindparam("most"))
)
_COUNT: Final = Prepared(select(func.count().label("waiting")).where(_MINE))
_DROP: Final = Prepared(delete(_outbox).where(_MINE, _outbox.c.seq <= bindparam("upto")))
"""Made once, as every message asks and writes them."""


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
    _PUT.write(c, row)
    mail(c, federation)
    return seq


def rule_of(c: Connection, federation: str, seq: int) -> str:
    """Return what allowed a message of the outbox to leave."""
    row = _RULE.first(c, this_federation=federation, this_seq=seq)
    return str(row.rule or "") if row is not None else ""


def unsent(c: Connection, federation: str, *, after: int, most: int = -1) -> list[FromSite]:
    """Return the messages above `after` that are not acknowledged, in order; -1 for all."""
    rows = _ABOVE.all(c, this_federation=federation, after=after, most=most)
    return [codec.from_site_parse(row.message) for row in rows]


def count(c: Connection, federation: str) -> int:
    """Return how many messages are not acknowledged."""
    return int(_COUNT.first(c, this_federation=federation).waiting)


def begin_anew(c: Connection, federation: str) -> None:
    """Forget what was said to and heard from a federation that this site left."""
    c.execute(delete(_outbox).where(_outbox.c.federation == federation))
    for name in (SENT, TAKEN, LEFT):
        set_note(c, federation, name, "")


def acknowledged(c: Connection, federation: str, seq: int) -> None:
    """Forget what the coordinator has durably taken."""
    _DROP.write(c, {"this_federation": federation, "upto": seq})
