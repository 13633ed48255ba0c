"""What an auditor asks of operators: who did which administrative act, when, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import statements
from governance.ledger.reading import disclosed, statement_at
from governance.ledger.schema import acts, entries, keys
from governance.statements import timestamp
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

COLUMNS: Final = ("seq", "received_at", "operator", "approved_by", "act", "detail", "reason")


def acts_done(
    c: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    operator: str | None = None,
) -> Answer:
    """Say each act in order; keys that the coordinator turned stand among them.

    Args:
        c: The ledger.
        since: Received at or after it.
        until: Received before it.
        operator: This one's alone.
    """
    rows = [row for row in (*_acts(c), *_turned(c)) if operator in {None, row[2], row[3]}]
    if since is not None:
        rows = [row for row in rows if str(row[1]) >= timestamp(since)]
    if until is not None:
        rows = [row for row in rows if str(row[1]) < timestamp(until)]
    return Answer(
        COLUMNS,
        sorted(rows, key=lambda row: int(str(row[0]))),
        title="Acts of the federation's operators",
        notes=() if rows else ("Nobody acted.",),
    )


def _acts(c: Connection) -> Iterator[tuple[object, ...]]:
    question = select(acts, entries.c.received_at).join(entries, entries.c.seq == acts.c.seq)
    for row in c.execute(question):
        yield (
            row.seq,
            row.received_at,
            row.operator,
            _approved_by(c, row),
            row.act,
            _words(json.loads(row.detail)),
            disclosed(c, row.seq).get("reason"),
        )


def _turned(c: Connection) -> Iterator[tuple[object, ...]]:
    """Yield the keys that the coordinator replaced, with the old and the new one."""
    question = select(entries).where(
        entries.c.kind == "key-rotated", entries.c.actor == "coordinator"
    )
    for row in c.execute(question):
        body = statements.read(row.envelope).body
        old_and_new = _words({name: body[name] for name in ("usage", "old", "new")})
        yield (row.seq, row.received_at, "coordinator", None, "rotate-key", old_and_new, None)


def _approved_by(c: Connection, row: Row[Any]) -> str | None:
    """Return the other operators who signed an act."""
    signers = list(statement_at(c, row.seq).signatures)
    names = c.execute(
        select(keys.c.name).where(keys.c.key_id.in_(signers)).distinct()
    ).scalars()
    return ", ".join(sorted(set(names) - {row.operator})) or None


def _words(detail: Mapping[str, Any]) -> str:
    said = (
        f"{name}: {value if isinstance(value, (str, int)) else json.dumps(value)}"
        for name, value in sorted(detail.items())
        if value not in ({}, [], "")
    )
    return ", ".join(said)
