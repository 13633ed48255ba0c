"""What a recovery projects: the act itself, a new log, and which hospitals accepted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from governance.ledger import checkpoint, founding, merkle, new_log, note
from governance.ledger.entry import Entry
from governance.ledger.prepared import Prepared
from governance.ledger.project_members import act
from governance.ledger.schema import acceptances, entries, keys
from governance.statements import parse_time, read
from protos.errors import Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from governance.ledger.new_log import NewLog

_WAITING: Final = Prepared(
    select(acceptances)
    .where(acceptances.c.site == bindparam("site"), acceptances.c.accepted_seq.is_(None))
    .order_by(acceptances.c.declared_seq.desc())
    .limit(1)
)


def log_recovered(c: Connection, e: Entry) -> list[Executable]:
    """Add the act by which operators say what a backup and hospitals' copies brought back.

    1. It stands where it says. Stops entries from going unsaid between what was recovered and
       the word about it.
    2. Where it begins a new log, that is bound to the one before. Stops a second history from
       passing for a loss. Every hospital has to accept it before it is asked again; an older
       new log that it did not accept is overtaken.
    """
    # 1.
    if not e.body["backup"] <= e.body["size"] == e.seq:
        raise Refused(
            f"it says that {e.body['size']} entries were recovered, {e.body['backup']} of them "
            f"from a backup, but {e.seq} stand before it",
            rule="recovery-misstated",
        )
    # 2.
    new = new_log.declared(e)
    if new is None:
        return [act(e, "recover")]
    origin = founding.of_log(c).log.origin
    new_log.check_bound(
        new,
        root=_root(c, e.seq),
        origin=origin,
        keys_of=lambda name, usage: keys_ever(c, name, usage),
    )
    sites = c.execute(
        select(keys.c.name)
        .where(keys.c.usage == "agent", keys.c.until_seq.is_(None))
        .order_by(keys.c.name)
    ).scalars()
    rows = [{"declared_seq": e.seq, "site": site} for site in sites]
    overtaken = delete(acceptances).where(acceptances.c.accepted_seq.is_(None))
    return [act(e, "recover"), overtaken, *([insert(acceptances).values(rows)] if rows else [])]


def log_accepted(c: Connection, e: Entry) -> list[Executable]:
    """Note that a hospital's officers accept a new log.

    1. It is a new log that waits for this hospital's word. Stops an acceptance of another
       one, and of one that nobody declared.
    2. What it held was this log's, and no more than was declared. Stops a loss that was told
       too small from being accepted unseen.
    """
    # 1.
    row = waiting(c, e.actor_name)
    new = None if row is None else declaration(c, int(row.declared_seq))
    if row is None or new is None or new.statement != e.body["declared"]:
        raise Refused("no such new log waits for this site's word", rule="unknown-new-log")
    # 2.
    held = _held(c, e, new)
    accepted = update(acceptances).where(
        acceptances.c.declared_seq == row.declared_seq, acceptances.c.site == e.actor_name
    )
    return [accepted.values(accepted_seq=e.seq, held=held)]


def store_recovered(_c: Connection, e: Entry) -> list[Executable]:
    """Take a hospital's word that its store was lost or old, and what it takes as spent.

    1. It looked at a log that had so many entries. Stops what a store has forgotten from being
       read out of entries that nobody has.
    """
    # 1.
    if e.body["size"] > e.seq:
        raise Refused(
            f"it says that it read {e.body['size']} entries, but {e.seq} stand before it",
            rule="recovery-misstated",
        )
    return []


def waiting(c: Connection, site: str) -> Row[tuple[object, ...]] | None:
    """Return the row of the latest new log that a hospital has not accepted, or None."""
    row: Row[tuple[object, ...]] | None = _WAITING.first(c, site=site)
    return row


def declaration(c: Connection, seq: int) -> NewLog | None:
    """Return the new log that an entry declares, None where it declares none."""
    row = c.execute(
        select(entries.c.received_at, entries.c.envelope).where(entries.c.seq == seq)
    ).first()
    if row is None:
        return None
    return new_log.declared(Entry(seq, parse_time(row.received_at), read(row.envelope)))


def _held(c: Connection, e: Entry, new: NewLog) -> int:
    """Return the size of the head that a hospital says it held, once that was checked."""
    text = str(e.body["held"])
    if not text:
        return 0
    origin = founding.of_log(c).log.origin
    if not new_log.is_head_of(text, origin, keys_ever(c, "coordinator", "ledger")):
        raise Refused(
            "this log's key did not sign the head that it held", rule="bad-checkpoint"
        )
    head = checkpoint.parse_body(note.parse(text).text)
    if head.size <= new.seq and _root(c, head.size) != head.root:
        raise Refused("the head that it held is of another history", rule="history-differs")
    new_log.check_within(new, head, e.actor_name)
    return head.size


def _root(c: Connection, size: int) -> bytes:
    """Return the root of the first entries; the tree's nodes may not be stored yet."""
    tree = merkle.Frontier()
    leaves = select(entries.c.leaf_hash).where(entries.c.seq < size).order_by(entries.c.seq)
    for leaf in c.execute(leaves).scalars():
        tree.append(bytes(leaf))
    return tree.root()


def keys_ever(c: Connection, name: str, usage: str) -> list[KeyId]:
    """Return every key that a name ever had for a usage."""
    rows = c.execute(
        select(keys.c.key_id).where(keys.c.name == name, keys.c.usage == usage)
    ).scalars()
    return [KeyId(key) for key in rows]
