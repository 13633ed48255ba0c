"""Where a log is read from: a database by its URL, or the folder of an export.

Both give the same things, so that one verifier and one set of questions serve both. Nothing is
ever written, and all of it is read as of one moment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import column, func, inspect, select

from governance.ledger import interlopers, note, triggers, views
from governance.ledger.opening import open_database, writable_url
from governance.ledger.schema import (
    PROJECTIONS,
    checkpoints,
    cosignatures,
    disclosures,
    entries,
    keys,
    nodes,
)
from protos.errors import Refused
from protos.words import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnClause, Connection, Select, Table

__all__ = [
    "Database",
    "Export",
    "HeldCheckpoint",
    "HeldEntry",
    "Source",
    "open_database",
    "rows_of",
    "split_witnesses",
    "streamed",
    "writable_url",
]

ENTRIES: Final = "entries.jsonl"
DISCLOSURES: Final = "disclosures.jsonl"
CHECKPOINT: Final = "checkpoint"
CHECKPOINTS: Final = "checkpoints"
KEYS: Final = "keys.json"
VKEY: Final = "ledger.vkey"
ROOT: Final = "root.pem"
README: Final = "README.md"
FILES: Final = frozenset(
    {ENTRIES, DISCLOSURES, CHECKPOINT, CHECKPOINTS, KEYS, VKEY, ROOT, README}
)

_TABLES: Final[Mapping[str, Table]] = {table.name: table for table in (*PROJECTIONS, nodes)}
_LINE_LIMIT_BYTES: Final = 256 * 1024
_STREAM_ROWS: Final = 1000
_COORDINATORS_OWN: Final = "invitations"
"""A table of the coordinator's, beside the ledger in its database."""


@dataclass(frozen=True, slots=True)
class HeldEntry:
    """An entry as it lies there; `stored` are the columns said to follow from it, if kept."""

    seq: int
    received_at: str
    envelope: bytes
    stored: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class HeldCheckpoint:
    """A checkpoint as it lies there; `lines` are (site, signature line) of its witnesses.

    `stored` is the size and root that its table says, if it lies in one; the note is empty
    where witnesses' lines are on none.
    """

    note: str
    lines: tuple[tuple[str, str], ...] = ()
    stored: tuple[object, object] | None = None


class Source(Protocol):
    """What a log is verified from; nothing in it is believed."""

    @property
    def complete(self) -> bool:
        """Whether whoever keeps it must have every disclosed value that was not erased."""
        ...

    def size(self) -> int:
        """Return how many entries there seem to be; nothing rests on it."""
        ...

    def entries(self, since: int = 0) -> Iterator[HeldEntry]:
        """Return the entries in order, from a seq on."""
        ...

    def disclosures(self) -> Iterator[tuple[int, Disclosure]]:
        """Return the values that are still disclosed, with the seq that commits to each."""
        ...

    def checkpoints(self) -> list[HeldCheckpoint]:
        """Return every checkpoint there is, in the order of its place."""
        ...

    def tables(self) -> Sequence[str]:
        """Return the tables that are there and are said to follow from the entries."""
        ...

    def rows(self, table: str) -> Sequence[Mapping[str, object]]:
        """Return every row of one of these tables."""
        ...

    def unguarded(self) -> list[str]:
        """Return the triggers that should keep it append-only, and are not there."""
        ...

    def interlopers(self) -> list[str]:
        """Return what acts on the append-only tables and is none of ours."""
        ...

    def altered_views(self) -> list[str]:
        """Return the views for others' tools that do not show what the tables say."""
        ...


class Database:
    """A ledger's database; `connection` holds one read transaction over all that is asked.

    `hides_values` where its role may not read what is disclosed.
    """

    def __init__(self, connection: Connection, *, hides_values: bool = False) -> None:
        self.connection = connection
        self.hides_values = hides_values

    @property
    def complete(self) -> bool:
        """Whether it is the coordinator's own: a hospital's copy has entries without values."""
        return not self.hides_values and inspect(self.connection).has_table(_COORDINATORS_OWN)

    def size(self) -> int:
        """Return how many entries there are."""
        question = select(func.count()).select_from(entries)
        return int(self.connection.execute(question).scalar_one())

    def entries(self, since: int = 0) -> Iterator[HeldEntry]:
        """Return the entries in order, from a seq on."""
        wanted = _as_is(entries).where(entries.c.seq >= since).order_by(entries.c.seq)
        # A reader that stops early leaves no cursor open at the server.
        with self.connection.execute(wanted, execution_options=_STREAM) as rows:
            names = list(rows.keys())[3:]
            for seq, received, envelope, *others in rows:
                stored = dict(zip(names, others, strict=True))
                yield HeldEntry(seq, str(received), _octets(envelope), stored)

    def disclosures(self) -> Iterator[tuple[int, Disclosure]]:
        """Return the values that are still disclosed, with the seq that commits to each."""
        wanted = _as_is(disclosures).order_by(disclosures.c.seq, disclosures.c.label)
        with self.connection.execute(wanted, execution_options=_STREAM) as rows:
            for row in rows:
                yield row.seq, Disclosure(str(row.label), _octets(row.salt), str(row.value))

    def checkpoints(self) -> list[HeldCheckpoint]:
        """Return every checkpoint there is, by its column `size`."""
        lines: dict[int, list[tuple[str, str]]] = {}
        for row in self.connection.execute(
            _as_is(cosignatures).order_by(cosignatures.c.size, cosignatures.c.site)
        ):
            lines.setdefault(row.size, []).append((str(row.site), str(row.line)))
        rows = self.connection.execute(_as_is(checkpoints).order_by(checkpoints.c.size))
        held = [
            HeldCheckpoint(
                str(row.note), tuple(lines.pop(row.size, ())), (row.size, _octets(row.root))
            )
            for row in rows
        ]
        return held + [HeldCheckpoint("", tuple(of_none)) for of_none in lines.values()]

    def tables(self) -> Sequence[str]:
        """Return every projection, and the tree's nodes."""
        return list(_TABLES)

    def rows(self, table: str) -> Sequence[Mapping[str, object]]:
        """Return every row of one of these tables."""
        return rows_of(self.connection, _TABLES[table])

    def streamed(self, table: str) -> Iterator[tuple[object, ...]]:
        """Return the rows of one of these tables in order, without holding them all."""
        return streamed(self.connection, _TABLES[table])

    def unguarded(self) -> list[str]:
        """Return the triggers that are gone, or are others than they were."""
        return triggers.missing(self.connection)

    def interlopers(self) -> list[str]:
        """Return the triggers, rules and row security that somebody added."""
        return interlopers.found(self.connection)

    def altered_views(self) -> list[str]:
        """Return the views that are gone, or show something else than their tables say."""
        return views.altered(self.connection)


class Export:
    """A folder that `export` wrote.

    Raises:
        Refused: it is not there, or holds no entries.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / ENTRIES).is_file():
            raise Refused(
                f"there is no {ENTRIES} in it",
                where=str(folder),
                todo=f"With --export, name a folder as `export` writes it: it holds {ENTRIES}.",
                rule="no-ledger",
            )

    @property
    def complete(self) -> bool:
        """Whether every value must be in it: what is handed over may leave values out."""
        return False

    def size(self) -> int:
        """Return how many lines there are."""
        with (self.folder / ENTRIES).open("rb") as lines:
            return sum(1 for _ in lines)

    def entries(self, since: int = 0) -> Iterator[HeldEntry]:
        """Return the entries in the order of the file, from a seq on."""
        for where, held in _lines(self.folder / ENTRIES):
            match held:
                case {
                    "seq": int(seq),
                    "received_at": str(received),
                    "envelope": str(text),
                    **more,
                } if type(seq) is int and not more:
                    if seq >= since:
                        yield HeldEntry(seq, received, text.encode(errors="surrogatepass"))
                case _:
                    raise _unreadable(where, "seq, received_at and envelope")

    def disclosures(self) -> Iterator[tuple[int, Disclosure]]:
        """Return the values that were exported, with the seq that commits to each."""
        path = self.folder / DISCLOSURES
        if not path.exists():
            return
        for where, held in _lines(path):
            match held:
                case {
                    "seq": int(seq),
                    "label": str(label),
                    "salt": str(salt),
                    "value": str(v),
                    **more,
                } if type(seq) is int and not more:
                    yield seq, Disclosure(label, _salt(salt, where), v)
                case _:
                    raise _unreadable(where, "seq, label, salt and value")

    def checkpoints(self) -> list[HeldCheckpoint]:
        """Return the older checkpoints and the last one."""
        older = self.folder / CHECKPOINTS
        paths = sorted(older.iterdir()) if older.is_dir() else []
        paths += [path for path in (self.folder / CHECKPOINT,) if path.is_file()]
        return [_held(path.read_text("utf-8", "replace")) for path in paths]

    def tables(self) -> Sequence[str]:
        """Return the keys, the one table that may be in an export."""
        return [keys.name] if (self.folder / KEYS).exists() else []

    def rows(self, table: str) -> Sequence[Mapping[str, object]]:
        """Return every row of the keys."""
        path = self.folder / f"{table}.json"
        try:
            rows = _strictly(path.read_bytes())
        except (ValueError, RecursionError):
            raise _unreadable(str(path), "a list of keys") from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise _unreadable(str(path), "a list of keys")
        return rows

    def unguarded(self) -> list[str]:
        """Return nothing: files have no triggers; the tree alone guards them."""
        return []

    def interlopers(self) -> list[str]:
        """Return nothing: nothing acts on files."""
        return []

    def altered_views(self) -> list[str]:
        """Return nothing: files have no views."""
        return []


def rows_of(connection: Connection, table: Table) -> list[dict[str, object]]:
    """Return every row of a table, ordered by its primary key."""
    wanted = _as_is(table).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def streamed(connection: Connection, table: Table) -> Iterator[tuple[object, ...]]:
    """Return the rows of a table in the order of its primary key, without holding them all."""
    wanted = _as_is(table).order_by(*table.primary_key.columns)
    with connection.execute(wanted, execution_options=_STREAM) as rows:
        yield from rows


def split_witnesses(text: str) -> HeldCheckpoint:
    """Return a note with its witnesses' lines apart; unread where it is no note."""
    parsed = note.parse(text)
    origin = parsed.text.split("\n", 1)[0]
    prefix = f"{origin}/site/"
    own = tuple(item for item in parsed.signatures if not item.name.startswith(prefix))
    lines = tuple(
        (item.name.removeprefix(prefix), item.line)
        for item in parsed.signatures
        if item.name.startswith(prefix)
    )
    return HeldCheckpoint(note.Note(parsed.text, own).signed, lines)


def _as_is(table: Table) -> Select[Any]:
    """Select a table's columns without their types: what was tampered with is read as well."""
    columns: list[ColumnClause[Any]] = [column(each.name) for each in table.columns]
    question: Select[Any] = select(*columns).select_from(table)
    return question


def _octets(value: object) -> bytes:
    """Return a cell as bytes; one that somebody turned into text, or emptied, too."""
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return str(value).encode(errors="surrogateescape")


_STREAM: Final = {"yield_per": _STREAM_ROWS}


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}:{number}"
            try:
                held = _strictly(line) if len(line) <= _LINE_LIMIT_BYTES else None
            except (ValueError, RecursionError):
                held = None
            if not isinstance(held, dict):
                raise _unreadable(where, "a JSON object")
            yield where, held


def _strictly(line: bytes) -> object:
    """Read JSON in which no name stands twice: two readers could take different ones."""
    return json.loads(line, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError("a name stands twice")
    return said


def _held(text: str) -> HeldCheckpoint:
    """Read what lies in a file; what is no note is left for the verifier to name."""
    from protos.errors import PeerFault

    try:
        return split_witnesses(text)
    except PeerFault:
        return HeldCheckpoint(text)


def _salt(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _unreadable(where, "a salt in hexadecimal") from None


def _unreadable(where: str, wanted: str) -> Refused:
    return Refused(
        f"this is not {wanted}",
        where=where,
        todo="The export is damaged: fetch it again.",
        rule="bad-export",
    )
