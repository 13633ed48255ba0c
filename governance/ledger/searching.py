"""Finding statements by a word in what they say, or in what is disclosed of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import dsse, statements
from governance.ledger.kinds import KINDS
from governance.ledger.reading import disclosed
from governance.ledger.schema import disclosures, entries
from governance.statements import timestamp
from governance.terminal import Answer
from governance.yaml_models import guess
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Row

_COLUMNS: Final = ("seq", "received_at", "kind", "actor", "field", "value")
_AT_A_TIME: Final = 1000
_PLAIN: Final = re.compile(r"[a-z0-9./:-]+", re.ASCII)
_VALUE_LENGTH: Final = 60


def search(
    c: Connection,
    word: str,
    *,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Answer:
    """Find the statements that say a word, upper and lower case alike.

    Args:
        c: The ledger.
        word: Any text: a name, a digest or its first digits, a reason.
        kind: One of the ledger's kinds alone.
        since: Received at or after it.
        until: Received before it.

    Raises:
        Refused: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise Refused(
            f"there is no kind {kind!r} of statement{guess(kind, KINDS)}",
            todo=f"The kinds are: {', '.join(sorted(KINDS))}",
            rule="no-such-kind",
        )
    question = select(*entries.c["seq", "received_at", "kind", "actor", "envelope"])
    question = question.order_by(entries.c.seq)
    if kind is not None:
        question = question.where(entries.c.kind == kind)
    if since is not None:
        question = question.where(entries.c.received_at >= timestamp(since))
    if until is not None:
        question = question.where(entries.c.received_at < timestamp(until))
    told = set(c.execute(select(disclosures.c.seq).distinct()).scalars())
    rows = []
    wanted = word.casefold()
    for row in c.execute(question.execution_options(yield_per=_AT_A_TIME)):
        if row.seq not in told and not _may_say(row.envelope, wanted):
            continue
        values = disclosed(c, row.seq) if row.seq in told else {}
        for name, value in _where(row, values, wanted):
            rows.append((row.seq, row.received_at, row.kind, row.actor, name, _short(value)))
    notes = () if rows else (f"Nothing says {word!r}.",)
    return Answer(_COLUMNS, rows, title=f"Statements that say {word!r}", notes=notes)


def _may_say(envelope: bytes, word: str) -> bool:
    """Tell whether an entry may hold a word, by its bytes alone: most do not, and are not read.

    Only of a plain word do the bytes tell: others may be written in another way in JSON.
    """
    if not _PLAIN.fullmatch(word):
        return True
    payload = dsse.peek(envelope)
    return payload is envelope or not payload.isascii() or word.encode() in payload.lower()


def _where(row: Row[Any], told: dict[str, str], word: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entry that hold the word, each with its text."""
    said: dict[str, Any] = json.loads(statements.read(row.envelope).payload)
    fields = {"kind": said["kind"], "actor": said["actor"], "key": said["key"]}
    fields |= {name: _text(value) for name, value in said["body"].items()}
    fields |= {f"disclosed {label}": value for label, value in told.items()}
    for name, value in fields.items():
        if word in value.casefold():
            yield name, value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_LENGTH else value[: _VALUE_LENGTH - 1] + "…"
