"""The log in a database: append, read and prove; state and history in one transaction.

This is the face of the package's storage; what is not here is told from elsewhere by name:
`database` opens it, `tree` proves, `witnessing` signs and keeps checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from governance import statements
from governance.ledger import (
    admission,
    ending,
    founding,
    merkle,
    passages,
    project_consents,
    projections,
    schema,
    sums,
    tree,
)
from governance.ledger.database import in_words, open_engine, reading
from governance.ledger.ending import chain_of
from governance.ledger.entry import Entry, columns, leaf_data
from governance.ledger.making import create
from governance.ledger.prepared import Prepared
from governance.ledger.tree import consistency, inclusion
from governance.ledger.witnessing import (
    add_checkpoint,
    add_cosignature,
    checkpoint_of,
    cosigners,
    latest_checkpoint,
    ledger_key,
    sign_checkpoint,
)
from governance.statements import Chain, parse_time, timestamp
from protos.errors import PeerFault
from protos.words import Digest, Disclosure, EntryRecord, KeyId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from governance.ledger.founding import Founding
    from governance.statements import Statement

__all__ = [
    "Head",
    "Own",
    "add_checkpoint",
    "add_cosignature",
    "append",
    "append_mirrored",
    "chain_of",
    "checkpoint_of",
    "consents_in_force",
    "consistency",
    "cosigners",
    "create",
    "disclosures_of",
    "entries",
    "head",
    "in_words",
    "inclusion",
    "latest_checkpoint",
    "ledger_key",
    "open_engine",
    "own_entries",
    "reading",
    "sign_checkpoint",
    "size_of",
]

_T: Final = schema.entries
_PAGE: Final = 500
_INSERT: Final = Prepared(insert(_T), [column.name for column in _T.columns])
_LAST: Final = Prepared(select(func.max(_T.c.seq).label("seq")))
_PAGED: Final = Prepared(
    select(_T.c.seq, _T.c.received_at, _T.c.envelope)
    .where(_T.c.seq >= bindparam("start"), _T.c.seq < bindparam("end"))
    .order_by(_T.c.seq)
)
_NEWEST: Final = Prepared(
    select(_T.c.received_at, _T.c.leaf_hash).where(_T.c.seq == bindparam("seq"))
)
_INSERT_DISCLOSURE: Final = Prepared(
    insert(schema.disclosures), [column.name for column in schema.disclosures.columns]
)


@dataclass(frozen=True, slots=True)
class Head:
    """How long the log is, and its tree's root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Own:
    """An entry in somebody's own name, to be found in its own journal."""

    seq: int
    statement: Digest
    kind: str
    signer: KeyId
    counter: int


def append(
    c: Connection,
    statement: Statement,
    *,
    received_at: datetime,
    disclosures: Sequence[Disclosure] = (),
) -> int:
    """Append a statement and everything that follows from it; return its seq.

    One that is in the log already is not appended again. `received_at` never goes back: where
    the clock is behind the last entry's time, that time is taken. A refusal writes nothing.

    Raises:
        Refused: naming the first rule that it breaks.
    """
    end = ending.of(c, statement.key)
    if end is None:
        e = Entry(0, received_at, statement)
        found = founding.founding(statement.envelope)
        grow = partial(tree.append, c, 0)
        _admit(c, e, founded=found, chain=Chain.START, before=b"", told=disclosures, grow=grow)
        return 0
    chain = end.chain(c, statement.key)
    if statement.counter <= chain.counter:
        known = c.execute(select(_T.c.seq).where(_T.c.statement == statement.digest))
        seq: int | None = known.scalar()
        if seq is not None:
            return seq
    e = Entry(end.seq + 1, max(received_at, end.received_at), statement)
    leaf = _admit(
        c,
        e,
        founded=founding.of_log(c, end.first),
        chain=chain,
        before=end.leaf,
        told=disclosures,
        grow=partial(end.grow, c),
    )
    end.take(e, leaf)
    return e.seq


def append_mirrored(
    c: Connection, records: Iterable[EntryRecord], *, unsafe_signatures_checked: bool = False
) -> int:
    """Append entries of another copy, checked as new ones are; return how many were new.

    Their `received_at` is kept. Entries that are here already must be the same bytes.
    `unsafe_signatures_checked` is for whoever verified every signature on them just before.

    Raises:
        PeerFault: an entry is not the next one, is another than before, or is dated back.
        Refused: an entry breaks a rule of admission.
    """
    ending.forget(c)
    before = size = size_of(c)
    latest, leaf = _NEWEST.first(c, seq=size - 1) or ("", b"")
    founded = founding.of_log(c) if size else None
    chains: dict[KeyId, Chain] = {}
    with tree.growing(c, size) as grow:
        for record in records:
            if record.seq < size:
                _check_same(c, record)
                continue
            # 1. It is the next one. Stops an entry from being left out.
            if record.seq != size:
                raise PeerFault(f"entry {size} is missing", rule="entry-missing")
            # 2. Time does not go back. Stops an entry from being dated into the past.
            if record.received_at < latest:
                raise PeerFault(f"entry {size} is dated before the last", rule="time-went-back")
            statement = statements.read(record.envelope)
            founded = founded or founding.founding(record.envelope)
            leaf = _admit(
                c,
                Entry(size, parse_time(record.received_at), statement),
                founded=founded,
                chain=chains.get(statement.key) or chain_of(c, statement.key),
                before=bytes(leaf),
                told=record.disclosures,
                grow=grow,
                unsafe_signatures_checked=unsafe_signatures_checked,
            )
            chains[statement.key] = statement.chain
            size, latest = size + 1, record.received_at
    return size - before


def _admit(  # noqa: PLR0913 - what an entry is held against, each by itself
    c: Connection,
    e: Entry,
    *,
    founded: Founding,
    chain: Chain,
    before: bytes,
    told: Sequence[Disclosure],
    grow: Callable[[bytes], None],
    unsafe_signatures_checked: bool = False,
) -> bytes:
    """Write an entry and what follows from it; return its leaf's hash.

    `before` is that of the entry before; `grow` takes the leaf into the tree.
    """
    kind = admission.admit(
        c,
        e,
        founded=founded,
        chain=chain,
        unsafe_signatures_checked=unsafe_signatures_checked,
    )
    statements.check_disclosures(e.statement, told)
    changes = kind.projection(c, e)
    # All checks are behind us: from here on there is nothing to refuse.
    received = timestamp(e.received_at)
    leaf = merkle.leaf_hash(leaf_data(e.seq, received, e.statement.envelope))
    row = {"seq": e.seq, "received_at": received, "leaf_hash": leaf}
    _INSERT.write(c, {**row, "envelope": e.statement.envelope, **columns(e.statement)})
    rows = [{"label": one.label, "salt": one.salt, "value": one.value} for one in told]
    _INSERT_DISCLOSURE.write_all(c, [{"seq": e.seq, **row} for row in rows])
    grow(leaf)
    projections.enact(c, changes)
    passages.take(c, e, leaf=leaf, before=before)
    sums.make(c, e.seq)
    return leaf


def _check_same(c: Connection, record: EntryRecord) -> None:
    here = c.execute(
        select(_T.c.envelope, _T.c.received_at).where(_T.c.seq == record.seq)
    ).one()
    if (here.envelope, here.received_at) != (record.envelope, record.received_at):
        raise PeerFault(f"entry {record.seq} is another than before", rule="history-differs")


def size_of(c: Connection) -> int:
    """Return how many entries there are."""
    last = _LAST.first(c).seq
    return 0 if last is None else int(last) + 1


def newest_time(c: Connection) -> datetime | None:
    """Return when the newest entry was received; None where there is none."""
    row = c.execute(
        select(schema.entries.c.received_at).order_by(schema.entries.c.seq.desc()).limit(1)
    ).first()
    return parse_time(row.received_at) if row is not None else None


def head(c: Connection) -> Head:
    """Return the log's size and root."""
    size = size_of(c)
    return Head(size, tree.root(c, size))


def entries(
    c: Connection, since: int, until: int, *, disclosed: bool = False
) -> Iterator[EntryRecord]:
    """Read entries with since <= seq < until, in order, a page at a time.

    Args:
        c: A connection.
        since: The first seq.
        until: The seq after the last.
        disclosed: Whether to read the values behind their commitments too; only for whoever
            may see them all.
    """
    for start in range(since, until, _PAGE):
        end = min(start + _PAGE, until)
        told = disclosures_of(c, start, end) if disclosed else {}
        page = _PAGED.all(c, start=start, end=end)
        for row in page:
            yield EntryRecord(row.seq, row.received_at, row.envelope, told.get(row.seq, ()))
        if len(page) < end - start:
            return


def disclosures_of(c: Connection, since: int, until: int) -> dict[int, tuple[Disclosure, ...]]:
    """Return what is disclosed of entries with since <= seq < until, by seq."""
    table = schema.disclosures
    rows = c.execute(
        select(table)
        .where(table.c.seq >= since, table.c.seq < until)
        .order_by(table.c.seq, table.c.label)
    )
    told: dict[int, tuple[Disclosure, ...]] = {}
    for row in rows:
        told[row.seq] = (*told.get(row.seq, ()), Disclosure(row.label, row.salt, row.value))
    return told


def own_entries(
    c: Connection, keys: Iterable[KeyId], *, since: int = 0, until: int | None = None
) -> Iterator[Own]:
    """Read every entry with since <= seq < until that one of these keys signed, in order."""
    question = select(_T.c.seq, _T.c.statement, _T.c.kind, _T.c.signer, _T.c.counter).where(
        _T.c.signer.in_(list(keys)), _T.c.seq >= since
    )
    if until is not None:
        question = question.where(_T.c.seq < until)
    for row in c.execute(question.order_by(_T.c.seq)):
        yield Own(row.seq, Digest(row.statement), row.kind, KeyId(row.signer), row.counter)


def consents_in_force(c: Connection, agreement: str, now: datetime) -> list[Row[Any]]:
    """Return the consents that permit something now for an agreement, in order of sites.

    They are rows of `consents`, one for each site that is not revoked; a consent to another
    agreement with the same material terms counts where the site said nothing of this one.
    """
    known = project_consents.agreement(c, agreement)
    return list(project_consents.in_force(c, known, now).values())
