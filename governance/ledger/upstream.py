"""What came up in an attempt of a round: how many updates, and how many bytes they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from governance.counts import count
from governance.ledger.schema import contributions

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class CameUp:
    """Updates that came up whole, also of hospitals that are out since; size in bytes."""

    updates: int
    size_bytes: int


def came_up(c: Connection, round_: int, attempt: int) -> CameUp:
    """Return what came up in an attempt, as the hospitals' own statements say."""
    size = contributions.c.size_bytes
    row = c.execute(
        select(func.count().label("updates"), func.sum(size).label("size_bytes")).where(
            contributions.c.round == round_, contributions.c.attempt == attempt, size > 0
        )
    ).one()
    return CameUp(int(row.updates), int(row.size_bytes or 0))


def said(attempt: int, up: CameUp) -> list[str]:
    """Say it in a sentence; nothing where nothing came."""
    if not up.updates:
        return []
    updates = count(up.updates, "update")
    return [f"{updates} came up in attempt {attempt}, {up.size_bytes:,} bytes in all."]
