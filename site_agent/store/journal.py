"""The journal: every statement that a key of this site signed, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from governance import statements
from governance.ledger.prepared import Prepared
from governance.statements import Chain, parse_time, timestamp
from protos.words import Digest, Disclosure, KeyId
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.statements import Statement

QUEUED: Final = "queued"
"""Handed to the session; the ledger has not answered yet."""
FLYING: Final = "flying"
"""A contribution, which goes with its upload and is in the ledger only when that is whole."""
ACCEPTED: Final = "accepted"
VOID: Final = "void"
"""Refused, or given up before it was in: its counter is used again."""

_journal: Final = Table(
    "journal",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=True),
    Column("federation", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("key", String, nullable=False),
    Column("counter", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("agreement", String, nullable=False),
    Column("task", String, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("disclosures", Text, nullable=False),
    Column("at", String, nullable=False),
    Column("status", String, nullable=False),
    Column("seq", Integer),
    Column("rule", String, nullable=False),
    UniqueConstraint("federation", "digest"),
    Index("journal_of_key", "federation", "key", "status", "counter"),
    Index("journal_of_kind", "federation", "kind"),
    Index("journal_of_agreement", "federation", "agreement", "kind"),
    Index("journal_of_task", "federation", "task"),
    Index("journal_of_seq", "federation", "seq"),
)
_MINE: Final = _journal.c.federation == bindparam("this_federation")
_THIS: Final = (_MINE, _journal.c.digest == bindparam("this_digest"))
_KEEP: Final = Prepared(
    insert(_journal),
    (
        *("federation", "digest", "key", "counter", "kind", "agreement", "task", "envelope"),
        *("disclosures", "at", "status", "rule"),
    ),
)
_MARK: Final = Prepared(update(_journal).where(*_THIS), ("status", "seq", "rule"))
_FIND: Final = Prepared(select(_journal).where(*_THIS))
_BY_KEY: Final = Prepared(
    select(_journal)
    .where(_MINE, _journal.c.key == bindparam("key"), _journal.c.status == bindparam("status"))
    .order_by(_journal.c.counter, _journal.c.place)
)
_KINDS: Final = tuple(f"kind{place}" for place in range(8))
_OF_AGREEMENT: Final = Prepared(
    select(_journal)
    .where(
        _MINE,
        _journal.c.agreement == bindparam("agreement"),
        or_(*(_journal.c.kind == bindparam(name) for name in _KINDS)),
    )
    .order_by(_journal.c.place)
)
_OF_TASK: Final = Prepared(
    select(_journal)
    .where(_MINE, _journal.c.task == bindparam("task"), _journal.c.kind == bindparam("kind"))
    .order_by(_journal.c.place.desc())
)
_OF_KIND: Final = Prepared(
    select(_journal)
    .where(_MINE, _journal.c.kind == bindparam("kind"))
    .order_by(_journal.c.place)
)
_WHEN: Final = Prepared(
    select(_journal.c.at)
    .where(_MINE, _journal.c.kind == bindparam("kind"))
    .order_by(_journal.c.place.desc())
    .limit(1)
    .offset(bindparam("before"))
)
_LAST: Final = (
    select(_journal.c.counter, _journal.c.digest)
    .where(_MINE, _journal.c.key == bindparam("key"))
    .order_by(_journal.c.counter.desc())
    .limit(1)
)
_CHAIN: Final = Prepared(_LAST.where(_journal.c.status != VOID))
_SETTLED: Final = Prepared(_LAST.where(_journal.c.status == ACCEPTED))
"""Made once, as every statement asks and writes them."""


@dataclass(frozen=True, slots=True)
class Said:
    """One row of the journal; `seq` is its place in the ledger once it is accepted."""

    statement: Statement
    disclosures: tuple[Disclosure, ...]
    task: str
    status: str
    seq: int | None
    rule: str


def keep(
    c: Connection,
    federation: str,
    statement: Statement,
    *,
    disclosures: Sequence[Disclosure] = (),
    task: str = "",
    status: str = QUEUED,
) -> None:
    """Write down a statement that one of this site's keys signed."""
    _KEEP.write(
        c,
        {
            "federation": federation,
            "digest": statement.digest,
            "key": statement.key,
            "counter": statement.counter,
            "kind": statement.kind,
            "agreement": str(statement.body.get("agreement", "")),
            "task": task,
            "envelope": statement.envelope,
            "disclosures": _disclosures_text(disclosures),
            "at": timestamp(statement.at),
            "status": status,
            "rule": "",
        },
    )


def mark(
    c: Connection,
    federation: str,
    digest: Digest,
    *,
    status: str,
    seq: int | None = None,
    rule: str = "",
) -> None:
    """Write down what became of a statement."""
    here = {"this_federation": federation, "this_digest": digest}
    _MARK.write(c, {**here, "status": status, "seq": seq, "rule": rule})


def find(c: Connection, federation: str, digest: str) -> Said | None:
    """Return a statement by its digest."""
    row = _FIND.first(c, this_federation=federation, this_digest=digest)
    return _said(row) if row is not None else None


def at_seq(c: Connection, federation: str, seq: int) -> Said | None:
    """Return the statement that is this entry of the ledger, if it is one of ours."""
    row = c.execute(
        select(_journal).where(_journal.c.federation == federation, _journal.c.seq == seq)
    ).one_or_none()
    return _said(row) if row is not None else None


def erase(c: Connection, federation: str, digest: Digest, label: str) -> bool:
    """Forget a value that a statement disclosed, with its salt; tell whether it was there."""
    said = find(c, federation, digest)
    if said is None or all(one.label != label for one in said.disclosures):
        return False
    left = _disclosures_text([one for one in said.disclosures if one.label != label])
    mine = (_journal.c.federation == federation, _journal.c.digest == digest)
    c.execute(update(_journal).where(*mine).values(disclosures=left))
    return True


def by_key(c: Connection, federation: str, key: KeyId, *, status: str) -> list[Said]:
    """Return a key's statements that stand in this status, in counter order."""
    rows = _BY_KEY.all(c, this_federation=federation, key=key, status=status)
    return [_said(row) for row in rows]


def keys(c: Connection, federation: str) -> list[KeyId]:
    """Return every key that something was signed with here."""
    rows = c.execute(
        select(_journal.c.key).where(_journal.c.federation == federation).distinct()
    )
    return sorted(KeyId(key) for key in rows.scalars())


def of_agreement(
    c: Connection, federation: str, agreement: str, *, kinds: Collection[str]
) -> list[Said]:
    """Return what was said of an agreement, by any key, in the order in which it was said.

    One to eight kinds are asked for at once.
    """
    here = {"this_federation": federation, "agreement": agreement}
    asked = sorted(kinds) + [min(kinds)] * (len(_KINDS) - len(kinds))
    rows = _OF_AGREEMENT.all(c, **here, **dict(zip(_KINDS, asked, strict=True)))
    return [_said(row) for row in rows]


def of_task(
    c: Connection, federation: str, task: str, *, kind: str, status: str = ""
) -> Said | None:
    """Return the newest statement of a kind (and status) that was made for a task."""
    rows = _OF_TASK.all(c, this_federation=federation, task=task, kind=kind)
    return next((_said(row) for row in rows if status in {"", row.status}), None)


def newest_of_kind(c: Connection, federation: str, kind: str, *, place: int) -> datetime | None:
    """Return when the newest statement of a kind was signed, or the second newest, and so on.

    `place` is 1 for the newest; None where there are not so many.
    """
    row = _WHEN.first(c, this_federation=federation, kind=kind, before=place - 1)
    return None if row is None else parse_time(row.at)


def of_kind(c: Connection, federation: str, kind: str) -> list[Said]:
    """Return what was said of one kind, by any key, in the order in which it was said."""
    rows = _OF_KIND.all(c, this_federation=federation, kind=kind)
    return [_said(row) for row in rows]


def every(c: Connection, federation: str) -> list[Said]:
    """Return all that was ever said, in the order in which it was said."""
    rows = c.execute(
        select(_journal).where(_journal.c.federation == federation).order_by(_journal.c.place)
    )
    return [_said(row) for row in rows]


def chain(c: Connection, federation: str, key: KeyId) -> Chain:
    """Return what the next statement of a key builds on: the last that is not void."""
    row = _CHAIN.first(c, this_federation=federation, key=key)
    return Chain(row.counter, Digest(row.digest)) if row is not None else Chain.START


def settled_chain(c: Connection, federation: str, key: KeyId) -> Chain:
    """Return where a key's chain stands in the ledger, as far as receipts have told."""
    row = _SETTLED.first(c, this_federation=federation, key=key)
    return Chain(row.counter, Digest(row.digest)) if row is not None else Chain.START


def reconcile(c: Connection, federation: str, key: KeyId, *, known: Mapping[str, int]) -> None:
    """Let a key's statements be accepted just where the ledger has them.

    Args:
        c: A connection.
        federation: Whose ledger.
        key: Whose statements.
        known: The seq of each of the key's statements in the ledger, by digest.
    """
    rows = c.execute(
        select(_journal.c.digest, _journal.c.status).where(
            _journal.c.federation == federation, _journal.c.key == key
        )
    ).all()
    for row in rows:
        if row.digest in known and row.status != ACCEPTED:
            seq = known[row.digest]
            mark(c, federation, row.digest, status=ACCEPTED, seq=seq)
        elif row.digest not in known and row.status == ACCEPTED:
            mark(c, federation, row.digest, status=VOID, rule="not-in-ledger")


def accepted_counters(c: Connection, federation: str, key: KeyId) -> frozenset[int]:
    """Return the counters of a key's statements that are known to be in the ledger."""
    rows = c.execute(
        select(_journal.c.counter).where(
            _journal.c.federation == federation,
            _journal.c.key == key,
            _journal.c.status == ACCEPTED,
        )
    )
    return frozenset(rows.scalars())


def _said(row: Any) -> Said:  # noqa: ANN401 - a row of `journal`
    return Said(
        statement=statements.read(row.envelope),
        disclosures=_disclosures_of(row.disclosures),
        task=row.task,
        status=row.status,
        seq=row.seq,
        rule=row.rule,
    )


def _disclosures_text(disclosures: Sequence[Disclosure]) -> str:
    return json.dumps([[told.label, told.salt.hex(), told.value] for told in disclosures])


def _disclosures_of(text: str) -> tuple[Disclosure, ...]:
    return tuple(
        Disclosure(label, bytes.fromhex(salt), value) for label, salt, value in json.loads(text)
    )
