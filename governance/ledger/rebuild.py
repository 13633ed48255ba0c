"""A log taken in anew, as every hospital's copy takes it, and its tables held against that.

The copy is a ledger in memory: it admits each entry by the same numbered checks and makes every
projection again. So a table that was edited is found, and an export can be asked as a database
can.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from governance.ledger import checkpoint, note, store, tree
from governance.ledger.replay import Fault
from governance.ledger.schema import PROJECTIONS, checkpoints, cosignatures, nodes
from governance.ledger.source import Database, rows_of, streamed
from governance.ledger.watching import Watch, unwatched
from protos.errors import PeerFault, Refused
from protos.words import EntryRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from governance.ledger.source import HeldCheckpoint, Source
    from protos.words import Disclosure

_TABLES: Final[Mapping[str, Table]] = {table.name: table for table in (*PROJECTIONS, nodes)}
_LEVELS: Final = 64
DOING: Final = "Making the tables anew"
"""What a bar says meanwhile."""
_KEPT: Final = ("erased_seq", "asked_seq")
_SEQ_COLUMNS: Final = (
    "seq",
    "ended_seq",
    "opened_seq",
    "changed_seq",
    "until_seq",
    "from_seq",
    "declared_seq",
    *_KEPT,
)


@contextmanager
def empty() -> Iterator[Connection]:
    """Give an empty ledger in memory."""
    engine = store.open_engine("sqlite://")
    try:
        store.create(engine)
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def records(
    source: Source, *, until: int | None = None, watch: Watch = unwatched
) -> Generator[EntryRecord, None, None]:
    """Return the entries of a source with what they disclose, up to a seq."""
    told = disclosed(source)
    for held in watch(DOING, source.entries()):
        if until is not None and held.seq >= until:
            return
        yield EntryRecord(
            held.seq, held.received_at, held.envelope, tuple(told.get(held.seq, ()))
        )


def disclosed(source: Source) -> dict[int, list[Disclosure]]:
    """Return what a source discloses, by seq."""
    told: dict[int, list[Disclosure]] = {}
    for seq, one in source.disclosures():
        told.setdefault(seq, []).append(one)
    return told


def load(connection: Connection, source: Source) -> None:
    """Take a source's entries and checkpoints into an empty ledger, to ask it.

    Raises:
        Refused: it breaks a rule: what it would answer is not to be believed.
    """
    fault = admitted(connection, source)
    if fault is not None:
        raise Refused(
            f"this record breaks a rule at entry {fault.seq}: {fault.sentence}",
            todo="See what `concilium-ledger verify` says of it.",
            rule=fault.rule,
        )
    for head in source.checkpoints():
        _keep(connection, head)


def _keep(connection: Connection, held: HeldCheckpoint) -> None:
    """Keep a checkpoint that agrees with the entries; who signed it is for `verify` to say."""
    try:
        body = checkpoint.parse_body(note.parse(held.note).text)
    except PeerFault:
        return
    known = select(checkpoints.c.size).where(checkpoints.c.size == body.size)
    if body.size > store.size_of(connection) or connection.execute(known).first():
        return
    if tree.root(connection, body.size) != body.root:
        return
    row = {"size": body.size, "root": body.root, "note": held.note}
    connection.execute(insert(checkpoints).values(**row))
    for site, line in dict(held.lines).items():
        cosigned = {"size": body.size, "site": site, "line": line}
        connection.execute(insert(cosignatures).values(**cosigned))


def admitted(
    connection: Connection,
    source: Source,
    *,
    until: int | None = None,
    watch: Watch = unwatched,
    unsafe_signatures_checked: bool = False,
) -> Fault | None:
    """Admit a source's entries anew, up to a seq; return the first that is refused."""
    try:
        store.append_mirrored(
            connection,
            records(source, until=until, watch=watch),
            unsafe_signatures_checked=unsafe_signatures_checked,
        )
    except (Refused, PeerFault) as broken:
        seq = store.size_of(connection)
        return Fault(seq, broken.rule, f"it would not be admitted: {broken.what}")
    return None


def difference(connection: Connection, source: Source) -> Fault | None:
    """Return the first row, by seq, in which a source's tables differ from those made anew."""
    faults: list[Fault] = []
    for name in source.tables():
        table = _TABLES[name]
        if not _is_same(connection, source, table):
            faults += _differences(table, source.rows(name), rows_of(connection, table))
    return min(faults, key=lambda fault: fault.seq, default=None)


def _is_same(connection: Connection, source: Source, table: Table) -> bool:
    """Tell whether a table is the one made anew, row by row: a long one fits in no memory."""
    if not isinstance(source, Database):
        return False
    pairs = zip_longest(source.streamed(table.name), streamed(connection, table))
    return all(theirs == ours for theirs, ours in pairs)


def _differences(
    table: Table,
    stored: Sequence[Mapping[str, object]],
    made: Sequence[Mapping[str, object]],
) -> Iterator[Fault]:
    key = [column.name for column in table.primary_key.columns]
    theirs = {tuple(row.get(name) for name in key): row for row in stored}
    ours = {tuple(row[name] for name in key): row for row in made}
    for place in ours.keys() | theirs.keys():
        mine, said = ours.get(place), theirs.get(place)
        if mine == said:
            continue
        what = _what(mine, said)
        row = ", ".join(f"{name} {value!s:.20}" for name, value in zip(key, place, strict=True))
        seq = _seq(table, mine or said or {})
        sentence = (
            f"the table {table.name} ({row}) {what}; "
            "the table was altered, and answers from it are false"
        )
        yield Fault(seq, "projection-altered", sentence)


def _what(mine: Mapping[str, object] | None, said: Mapping[str, object] | None) -> str:
    if said is None:
        return "lacks a row that follows from the entries"
    if mine is None:
        return "has a row that follows from no entry"
    names = sorted(
        name for name in mine.keys() | said.keys() if mine.get(name) != said.get(name)
    )
    name = names[0]
    return f"says {name} {said.get(name)!s:.40}, but the entries say {mine.get(name)!s:.40}"


def _seq(table: Table, row: Mapping[str, object]) -> int:
    """Return the entry that a row last followed from, as far as the row says."""
    if table is nodes:
        match row:
            case {"level": int(level), "idx": int(idx)} if 0 <= level < _LEVELS:
                return ((idx + 1) << level) - 1
            case _:
                return 0
    for name in _SEQ_COLUMNS:
        value = row.get(name)
        if isinstance(value, int):
            return value
    return 0
