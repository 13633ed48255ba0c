"""Finding statements by a word in what they say, or in what is disclosed of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import cast, func, or_, select
from sqlalchemy.types import LargeBinary

from governance import dsse, statements
from governance.ledger.kinds import KINDS
from governance.ledger.paging import WHOLE, Page, unshown
from governance.ledger.passages import SPAN, fields
from governance.ledger.reading import received_at
from governance.ledger.schema import disclosures, entries, keys, passages
from governance.statements import timestamp
from governance.terminal import Answer
from governance.yaml_models import guess
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row, Select

_COLUMNS: Final = ("seq", "received_at", "kind", "actor", "field", "value")
_AT_ONCE: Final = 500
"""How many spans are asked for together."""
_MANY: Final = 20
"""If so many keys hold the word, it is in every span."""
_PLAIN: Final = re.compile(r"[a-z0-9./:-]+", re.ASCII)
_VALUE_LENGTH: Final = 60
_FEW: Final = 5000
"""So many entries of one kind are looked through one by one."""


def search(
    c: Connection,
    word: str,
    *,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page: Page = WHOLE,
) -> Answer:
    """Find the statements that say a word, upper and lower case alike, in their order.

    Args:
        c: The ledger.
        word: Any text: a name, a digest or its first digits, a reason.
        kind: One of the ledger's kinds alone.
        since: Received at or after it.
        until: Received before it.
        page: Which rows to show; an entry's are never split.

    Raises:
        Refused: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise Refused(
            f"there is no kind {kind!r} of statement{guess(kind, KINDS)}",
            todo=f"The kinds are: {', '.join(sorted(KINDS))}",
            rule="no-such-kind",
        )
    begin = 0 if since is None else _first_since(c, since)
    begin = begin if page.after is None else max(begin, page.after + 1)
    end = _size(c) if until is None else _first_since(c, until)
    wanted = word.casefold()
    found: list[tuple[object, ...]] = []
    next_after = None
    for hits in _found(c, wanted, kind, begin, end):
        if page.limit is not None and found and len(found) + len(hits) > page.limit:
            next_after = found[-1][0]
            break
        found += hits
    facts = {"shown": len(found), "next_after": next_after}
    notes = unshown(facts) if found else (f"Nothing says {word!r}.",)
    title = f"Statements that say {word!r}"
    return Answer(_COLUMNS, found, title=title, notes=notes, facts=facts)


def _found(
    c: Connection, word: str, kind: str | None, begin: int, end: int
) -> Iterator[list[tuple[object, ...]]]:
    """Yield the rows of each entry with begin <= seq < end that says a word."""
    question = select(*entries.c["seq", "received_at", "kind", "actor", "envelope"])
    question = question.order_by(entries.c.seq)
    told = select(*disclosures.c["seq", "label", "value"])
    if kind is not None:
        question = question.where(entries.c.kind == kind)
        of_kind = told.join(entries, entries.c.seq == disclosures.c.seq)
        if _is_rare(c, kind):
            within = question.where(entries.c.seq >= begin, entries.c.seq < end)
            rows = c.execute(within).all()
            yield from _among(rows, _by_seq(c, of_kind.where(entries.c.kind == kind)), word)
            return
    for span in _spans(c, word, begin, end):
        # One range alone: of two, an engine may follow the wider one.
        first, after = max(begin, span * SPAN), min(end, (span + 1) * SPAN)
        inside = question.where(entries.c.seq >= first, entries.c.seq < after)
        values = told.where(disclosures.c.seq >= first, disclosures.c.seq < after)
        yield from _among(c.execute(inside).all(), _by_seq(c, values), word)


def _among(
    rows: Iterable[Row[Any]], told: Mapping[int, Mapping[str, str]], word: str
) -> Iterator[list[tuple[object, ...]]]:
    for row in rows:
        if row.seq not in told and not _may_say(row.envelope, word):
            continue
        said = fields(statements.read(row.envelope), told.get(row.seq, {}))
        hits: list[tuple[object, ...]] = [
            (row.seq, row.received_at, row.kind, row.actor, name, _short(value))
            for name, value in said.items()
            if word in value.casefold()
        ]
        if hits:
            yield hits


def _spans(c: Connection, word: str, begin: int, end: int) -> Iterator[int]:
    """Yield the spans in which the word may stand, some at a time: a page ends soon."""
    signers = _keys_saying(c, word)
    covered = c.execute(select(func.max(passages.c.until_seq))).scalar()
    for first in range(begin // SPAN, -(-end // SPAN), _AT_ONCE):
        last = min(first + _AT_ONCE, -(-end // SPAN))
        if not word or len(signers) > _MANY:
            yield from range(first, last)
            continue
        whole = -1 if covered is None else covered // SPAN
        found = set(range(max(first, whole + 1), last))  # of these there is no passage yet
        for asked in _asked(c, word, signers, first * SPAN, last * SPAN):
            found.update(c.execute(asked).scalars())
        yield from sorted(found)


def _asked(
    c: Connection, word: str, signers: Sequence[str], begin: int, end: int
) -> Iterator[Select[int]]:
    """Yield what asks for spans: by what entries say, by their keys, by what is disclosed."""
    until = passages.c.until_seq
    said = select(until // SPAN).where(_holds(c, passages.c.said, word))
    yield said.where(until >= begin, until < end)
    seq = entries.c.seq
    signed = select(seq // SPAN).distinct().where(seq >= begin, seq < end)
    for signer in signers:
        yield signed.where(entries.c.signer == signer)
    value, at = disclosures.c.value, disclosures.c.seq
    has_more = func.length(cast(value, LargeBinary)) != func.length(value)
    if c.dialect.name != "sqlite":
        has_more = func.octet_length(value) != func.length(value)
    # what is no ASCII has other lower cases than the database knows
    holds = or_(_holds(c, func.lower(value), word), has_more)
    yield select(at // SPAN).distinct().where(at >= begin, at < end, holds)


def _holds(c: Connection, text: ColumnElement[str], word: str) -> ColumnElement[bool]:
    place = func.instr if c.dialect.name == "sqlite" else func.strpos
    found: ColumnElement[bool] = place(text, word) > 0
    return found


def _keys_saying(c: Connection, word: str) -> list[str]:
    return [key for key in c.execute(select(keys.c.key_id)).scalars() if word in key]


def _is_rare(c: Connection, kind: str) -> bool:
    some = select(entries.c.seq).where(entries.c.kind == kind).limit(_FEW + 1).subquery()
    return int(c.execute(select(func.count()).select_from(some)).scalar_one()) <= _FEW


def _by_seq(c: Connection, told: Select[Any]) -> dict[int, dict[str, str]]:
    by_seq: dict[int, dict[str, str]] = {}
    for seq, label, value in c.execute(told):
        by_seq.setdefault(seq, {})[label] = value
    return by_seq


def _size(c: Connection) -> int:
    last = c.execute(select(func.max(entries.c.seq))).scalar()
    return 0 if last is None else int(last) + 1


def _first_since(c: Connection, moment: datetime) -> int:
    """Return the first entry received at or after a time, which never goes back."""
    wanted, low, high = timestamp(moment), 0, _size(c)
    while low < high:
        middle = (low + high) // 2
        if received_at(c, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _may_say(envelope: bytes, word: str) -> bool:
    """Tell whether an entry may hold a word, by its bytes alone: most do not, and are not read.

    Only of a plain word do the bytes tell: others may be written in another way in JSON.
    """
    if not _PLAIN.fullmatch(word):
        return True
    payload = dsse.peek(envelope)
    return payload is envelope or not payload.isascii() or word.encode() in payload.lower()


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_LENGTH else value[: _VALUE_LENGTH - 1] + "…"
