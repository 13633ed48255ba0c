"""What entries say, a passage for each span of them, so that a word is soon found.

Most words stand in few spans, and a passage has each value once: to look through all passages
takes a fraction of the time that the entries would take. A value that is only disclosed is in
none, since it can be erased; nor is a key, which the table of keys finds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, insert, select

from governance import statements
from governance.ledger.prepared import Prepared
from governance.ledger.schema import entries, passages

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from sqlalchemy import Connection, Engine

    from governance.ledger.entry import Entry
    from governance.statements import Statement

SPAN: Final = 256
"""How many entries a passage covers; all copies have the same."""

_JSON: Final = json.JSONEncoder(ensure_ascii=False).encode
_INSERT: Final = Prepared(insert(passages), [each.name for each in passages.columns])
_SAID: Final = Prepared(
    select(entries.c.envelope)
    .where(entries.c.seq >= bindparam("since"), entries.c.seq < bindparam("until"))
    .order_by(entries.c.seq)
)


@dataclass(slots=True)
class Filling:
    """The passage that is being filled: before which entry it stands, and that one's leaf."""

    seq: int = 0
    leaf: bytes = b""
    values: set[Hashable] = field(default_factory=set)

    def take(self, c: Connection, e: Entry, leaf: bytes) -> None:
        """Add what an entry says; write the passage with its last entry."""
        self._add(e.statement)
        self.seq, self.leaf = e.seq + 1, leaf
        if self.seq % SPAN == 0:
            said = "\n".join(sorted({text(value).casefold() for value in self.values}))
            _INSERT.write(c, {"until_seq": e.seq, "said": said})
            self.values = set()

    def begin(self, c: Connection, seq: int, leaf: bytes) -> None:
        """Stand before an entry, with what those before it in its span say."""
        self.seq, self.leaf, self.values = seq, leaf, set()
        since = seq // SPAN * SPAN
        for row in _SAID.all(c, since=since, until=seq) if since < seq else ():
            self._add(statements.read(row.envelope))

    def _add(self, statement: Statement) -> None:
        said = statement.body.values()
        try:
            self.values.update((statement.kind, statement.actor), said)
        except TypeError:  # lists and objects have no place in a set
            self.values.update(
                text(each) if isinstance(each, list | dict) else each for each in said
            )


_FILLING: Final[WeakKeyDictionary[Engine, Filling]] = WeakKeyDictionary()
"""What each engine's writer is filling. It is believed where it stands before the next entry,
and that one's leaf is the last: then nobody else wrote, and nothing was rolled back."""


def take(c: Connection, e: Entry, *, leaf: bytes, before: bytes) -> None:
    """Add what an entry says to its passage; `before` is the leaf hash of the entry before."""
    filling = _FILLING.setdefault(c.engine, Filling())
    if (filling.seq, filling.leaf) != (e.seq, before):
        filling.begin(c, e.seq, before)
    filling.take(c, e, leaf)


def text(value: object) -> str:
    """Return the text in which a value is looked for."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else _JSON(value)


def fields(statement: Statement, told: Mapping[str, str]) -> dict[str, str]:
    """Return every field that is looked through, by its name; `told` are disclosed values."""
    said = {"kind": statement.kind, "actor": statement.actor, "key": str(statement.key)}
    said |= {name: text(value) for name, value in statement.body.items()}
    return said | {f"disclosed {label}": value for label, value in told.items()}
