"""What this site's own copy of the ledger says of released models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from governance.ledger import tree
from governance.ledger.schema import entries, releases

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the copy has it; `recalled_seq` is None while it stands."""

    name: str
    round: int
    agreement: str
    model: str
    seq: int
    recalled_seq: int | None


def every(c: Connection) -> list[Release]:
    """Return every release, the oldest first."""
    return [_release(row) for row in c.execute(select(releases).order_by(releases.c.seq))]


def find(c: Connection, name: str) -> Release | None:
    """Return a release by its name."""
    row = c.execute(select(releases).where(releases.c.release == name)).first()
    return None if row is None else _release(row)


def statement_of(c: Connection, seq: int) -> str:
    """Return the digest of the statement of an entry; empty where the copy has none there."""
    found = c.execute(select(entries.c.statement).where(entries.c.seq == seq)).scalar()
    return str(found or "")


def agrees(c: Connection, size: int, root: bytes) -> bool:
    """Tell whether the head of a size is of this copy's history, as far as the copy reaches."""
    return size > tree.size(c) or tree.root(c, size) == root


def _release(row: Row[tuple[object, ...]]) -> Release:
    return Release(row.release, row.round, row.agreement, row.model, row.seq, row.recalled_seq)
