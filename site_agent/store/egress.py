"""The list of all that left this hospital: written before the first byte goes, kept for ever.

A message is kept with its very bytes, so that its content can be shown in words. Heartbeats, of
which there are thousands, are counted: one row an hour, whose digest runs over theirs. An
update's bytes are not copied here; its digest is in the ledger.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    update,
)

from governance import statements
from governance.ledger.prepared import Prepared
from governance.statements import parse_time, timestamp
from protos import codec
from protos.errors import PeerFault
from protos.words import StatementSent
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from protos.words import Digest, FromSite

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
    Column("round", Integer),
    Column("messages", Integer),
    Column("content", LargeBinary),
    Index("sent_at", "at", "bytes"),
    Index("sent_of_kind", "federation", "kind", "rule", "at"),
    Index("sent_of_round", "federation", "round"),
)
_RECORD: Final = Prepared(
    insert(_sent),
    (
        *("federation", "at", "kind", "bytes", "digest", "readers", "rule", "round"),
        *("messages", "content"),
    ),
)
_SINCE: Final = Prepared(
    select(func.sum(_sent.c.bytes).label("bytes")).where(_sent.c.at >= bindparam("since"))
)
_WHEN: Final = Prepared(
    select(_sent.c.at)
    .where(
        _sent.c.federation == bindparam("federation"),
        _sent.c.kind == bindparam("kind"),
        _sent.c.rule == bindparam("rule"),
    )
    .order_by(_sent.c.at.desc())
    .limit(1)
    .offset(bindparam("before"))
)
"""Made once, as every message asks and writes them."""
_HOUR: Final = len("2026-11-21T10")


@dataclass(frozen=True, slots=True)
class Left:
    """Something that left, or is about to.

    Attributes:
        at: When, by the site's clock.
        kind: A statement's kind, or a message's.
        size: In bytes; a heartbeat's row has the sum of its hour.
        digest: SHA-256 of the bytes.
        rule: What allowed it to leave.
        readers: Who can read it.
        round: Which it belongs to, if to one.
        content: The very bytes; None where they are not kept.
        messages: How many messages stand in this row.
        place: Its number in the list; 0 before it is in it.
    """

    at: datetime
    kind: str
    size: int
    digest: str
    rule: str
    readers: str = "coordinator"
    round: int | None = None
    content: bytes | None = None
    messages: int = 1
    place: int = 0


def record(c: Connection, federation: str, left: Left) -> None:
    """List something that leaves."""
    _RECORD.write(
        c,
        {
            "federation": federation,
            "at": timestamp(left.at),
            "kind": left.kind,
            "bytes": left.size,
            "digest": left.digest,
            "readers": left.readers,
            "rule": left.rule,
            "round": left.round,
            "messages": left.messages,
            "content": left.content,
        },
    )


def tally(c: Connection, federation: str, left: Left) -> None:
    """Add something to the row of its kind and hour; the digest runs over all of them."""
    hour = timestamp(left.at)[:_HOUR]
    row = c.execute(
        select(_sent.c.place, _sent.c.digest)
        .where(
            _sent.c.federation == federation,
            _sent.c.kind == left.kind,
            _sent.c.rule == left.rule,
            _sent.c.at.startswith(hour),
        )
        .order_by(_sent.c.place.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        record(c, federation, left)
        return
    c.execute(
        update(_sent)
        .where(_sent.c.place == row.place)
        .values(
            bytes=_sent.c.bytes + left.size,
            messages=_sent.c.messages + 1,
            digest=running_digest(row.digest, left.digest),
        )
    )


def running_digest(so_far: str, digest: str) -> str:
    """Return the digest over one more: the SHA-256 of both, as hexadecimal text."""
    return hashlib.sha256(f"{so_far}{digest}".encode()).hexdigest()


def listed(
    c: Connection,
    federation: str,
    *,
    since: datetime | None = None,
    round_: int | None = None,
) -> list[Left]:
    """Return what left, the oldest first."""
    wanted = select(_sent).where(_sent.c.federation == federation)
    if since is not None:
        wanted = wanted.where(_sent.c.at >= timestamp(since))
    if round_ is not None:
        wanted = wanted.where(_sent.c.round == round_)
    return [_left(row) for row in c.execute(wanted.order_by(_sent.c.place))]


def one(c: Connection, federation: str, place: int) -> Left | None:
    """Return one row of the list by its number."""
    row = c.execute(
        select(_sent).where(_sent.c.federation == federation, _sent.c.place == place)
    ).one_or_none()
    return _left(row) if row is not None else None


def erase(c: Connection, federation: str, digest: Digest, label: str) -> None:
    """Forget a value that a statement disclosed; its message is kept without it."""
    rows = c.execute(
        select(_sent.c.place, _sent.c.content).where(
            _sent.c.federation == federation, _sent.c.content.is_not(None)
        )
    )
    for row in rows.all():
        message = _with(row.content, digest)
        if message is None:
            continue
        sent, body = message
        left = tuple(one for one in body.disclosures if one.label != label)
        content = codec.from_site_bytes(replace(sent, body=replace(body, disclosures=left)))
        mine = _sent.c.place == row.place
        c.execute(update(_sent).where(mine).values(content=content))


def _with(content: bytes, digest: Digest) -> tuple[FromSite, StatementSent] | None:
    """Return a message that carries a statement, or None."""
    try:
        sent = codec.from_site_parse(content)
    except PeerFault:
        return None
    if not isinstance(sent.body, StatementSent):
        return None
    return (sent, sent.body) if statements.read(sent.body.envelope).digest == digest else None


def bytes_sent(c: Connection, *, since: datetime) -> int:
    """Return how many bytes left the hospital since a moment, for all its federations."""
    return int(_SINCE.first(c, since=timestamp(since)).bytes or 0)


def bytes_ever_sent(c: Connection, federation: str) -> int:
    """Return how many bytes of messages ever left to a federation."""
    asked = select(func.sum(_sent.c.bytes)).where(_sent.c.federation == federation)
    return int(c.execute(asked).scalar() or 0)


def _left(row: Row[tuple[object, ...]]) -> Left:
    return Left(
        at=parse_time(row.at),
        kind=row.kind,
        size=row.bytes,
        digest=row.digest,
        rule=row.rule,
        readers=row.readers,
        round=row.round,
        content=row.content,
        messages=row.messages or 1,
        place=row.place,
    )


def newest_of(
    c: Connection, federation: str, kind: str, rule: str, *, place: int
) -> datetime | None:
    """Return when the newest message of a kind and rule left, or the second newest, and so on.

    `place` is 1 for the newest; None where there are not so many.
    """
    row = _WHEN.first(c, federation=federation, kind=kind, rule=rule, before=place - 1)
    return None if row is None else parse_time(row.at)
