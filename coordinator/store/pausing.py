"""Whether the federation is paused, and why: by an operator, or since a round failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from coordinator.store import kept
from governance.ledger.schema import disclosures, entries

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from governance.statements import Statement

_WHY: Final = "paused"
_ACT: Final = "paused-by"
_SHOWN_CHARS: Final = 300


def pause(connection: Connection, why: str, *, act: Statement | None = None) -> None:
    """Pause; an act's own reason is read from the record, where it can be erased."""
    kept.set_note(connection, _WHY, why)
    kept.set_note(connection, _ACT, act.digest if act else "")


def resume(connection: Connection) -> None:
    """End the pause."""
    kept.set_note(connection, _WHY, "")
    kept.set_note(connection, _ACT, "")


def why(connection: Connection) -> str:
    """Return why the federation is paused, in one line; empty when it is not."""
    said = kept.note(connection, _WHY)
    reason = _reason(connection, kept.note(connection, _ACT)) if said else ""
    return f"{said}: {reason}" if reason else said


def _reason(connection: Connection, act: str) -> str:
    """Return what an operator gave as a reason; an operator wrote it, so that it is cut."""
    value = connection.execute(
        select(disclosures.c.value)
        .join(entries, entries.c.seq == disclosures.c.seq)
        .where(entries.c.statement == act, disclosures.c.label == "reason")
    ).scalar()
    line = " ".join(str(value or "").split())
    readable = "".join(mark for mark in line if mark.isprintable())
    return readable if len(readable) <= _SHOWN_CHARS else f"{readable[:_SHOWN_CHARS]}…"
