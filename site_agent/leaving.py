"""What `sent` answers: every message that left, and what one of them says in words."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from governance import statements, tensors
from governance.counts import count
from governance.terminal import Answer, Format, room
from protos import codec
from protos.codec.requests import asked_parse
from protos.errors import ConciliumError, Refused
from protos.words import StatementSent, UploadHeader
from site_agent.egress import RULES
from site_agent.store import egress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from protos.words import Disclosure
    from site_agent.membership import Membership
    from site_agent.store.egress import Left

_DIGITS = 8
_WIDE = 100
_REQUESTS = frozenset(
    {
        "download-request",
        "upload-status",
        "entries-request",
        "consistency-request",
        "release-request",
    }
)


def listed(
    m: Membership, form: Format, *, since: datetime | None, round_: int | None
) -> Answer:
    """Return the list; a table for eyes shortens times and digests."""
    rows = m.store.look(lambda c: egress.listed(c, m.federation, since=since, round_=round_))
    short = form is Format.TABLE
    hidden = {"messages"} if short else set()
    columns = ("n", "at", "kind", "messages", "round", "bytes", "digest", "readers", "rule")
    total = sum(left.size for left in rows)
    messages = sum(left.messages for left in rows)
    sent = count(messages, "message")
    return Answer(
        columns=tuple(name for name in columns if name not in hidden),
        rows=[_row(left, short=short) for left in rows],
        title=f"What left {m.site} for {m.federation}",
        notes=[
            f"{sent}, {total} bytes. What one says: concilium-site sent --dump N",
            "Heartbeats say which task is at work and its steps; they stand by the hour.",
        ],
        facts={"messages_in_all": messages, "bytes_in_all": total},
    )


def _row(left: Left, *, short: bool) -> tuple[object, ...]:
    times = f" ×{left.messages}" if left.messages > 1 else ""
    told = (left.round, left.size, left.digest[:_DIGITS] if short else left.digest)
    if short:
        between = "T" if room() >= _WIDE else " "  # where a narrow column may break
        at = f"{left.at:%Y-%m-%d}{between}{left.at:%H:%M:%S}"
        return (left.place, at, left.kind + times, *told, left.readers, left.rule)
    at = statements.timestamp(left.at)
    return (left.place, at, left.kind, left.messages, *told, left.readers, left.rule)


def dumped(m: Membership, place: int) -> str:
    """Return in words what a message of the list says.

    Raises:
        Refused: the list has no such number.
    """
    left = m.store.look(lambda c: egress.one(c, m.federation, place))
    if left is None:
        raise Refused(
            f"nothing that left has the number {place}",
            todo="See the numbers with: concilium-site sent",
            rule="no-such-message",
        )
    times = f", {left.messages} times in that hour" if left.messages > 1 else ""
    lines = [
        f"{left.kind}, {statements.timestamp(left.at)}{times}",
        f"  bytes    {left.size}",
        f"  digest   {left.digest}",
        f"  readers  {left.readers}",
        f"  rule     {left.rule}: {RULES.get(left.rule, 'see site.yaml')}",
        "",
        *_content(m, left),
    ]
    return "\n".join(lines) + "\n"


_WITH_SECRET: Final = {
    "enrol-request": (
        "The public keys of this hospital, signed by each, and the invitation's secret,",
        "which works once and is not kept here. `concilium-site key` prints the keys.",
    ),
    "renewal-request": (
        "The certificate that has ended, and the next public key, signed by the agent's key",
        "and an officer's; and the invitation's secret, which works once, not kept here.",
    ),
}
"""What is in a request whose bytes are not kept."""


def _content(m: Membership, left: Left) -> Iterator[str]:
    if left.kind == "update":
        yield from _update(m, left)
    elif left.kind == "heartbeat":
        yield "The task at work, its steps done, the next quiet hours, and what was taken."
    elif left.kind in _WITH_SECRET:
        yield from _WITH_SECRET[left.kind]
    elif left.content is None:
        yield "Its bytes were not kept: it left before this version of the program."
    elif left.kind in _REQUESTS or left.kind == "contribution-made":
        yield from _asked(left.kind, left.content)
    elif left.kind == "checkpoint-request":
        yield "A question for the ledger's latest checkpoint; it holds nothing else."
    else:
        body = codec.from_site_parse(left.content).body
        if isinstance(body, StatementSent):
            yield from _statement(body.envelope, body.disclosures)
        else:
            yield from _fields(body)


def _asked(kind: str, raw: bytes) -> Iterator[str]:
    asked = asked_parse(kind, raw)
    if isinstance(asked, UploadHeader):
        yield f"An upload goes on from byte {asked.offset}; with it goes this statement."
        yield from _statement(asked.statement, ())
    elif asked is not None:
        yield from _fields(asked)


def _statement(envelope: bytes, told: Sequence[Disclosure]) -> Iterator[str]:
    statement = statements.read(envelope)
    yield f"A statement of {statement.actor}, number {statement.counter} of its key:"
    yield from _lines(statement.body)
    if told:
        yield "with values that the ledger only commits to:"
        yield from _lines({one.label: one.value for one in told})


def _update(m: Membership, left: Left) -> Iterator[str]:
    yield "An update of the model: for each number how far this hospital's patients, each"
    yield "clipped and together noised where the agreement says so, would move it."
    folder = m.premises.work_of(m.federation)
    path = next(folder.rglob(f"{left.digest}.safetensors"), None)
    try:
        shapes = tensors.shapes(path) if path is not None else {}
    except ConciliumError:
        shapes = {}
    for name, shape in shapes.items():
        yield f"  {name}: {' × '.join(map(str, shape)) or '1'} numbers of 4 bytes"
    if not shapes:
        yield "  The file itself is not kept here any more; its digest is in the ledger."


def _fields(word: object) -> Iterator[str]:
    assert is_dataclass(word)
    yield from _lines({one.name: getattr(word, one.name) for one in fields(word)})


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    width = max((len(name) for name in said), default=0)
    for name, value in said.items():
        yield f"  {name:<{width}}  {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return statements.timestamp(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:16].hex()}…"
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() else "�" for sign in value)
    if is_dataclass(value):
        return ", ".join(
            f"{one.name} {_text(getattr(value, one.name))}" for one in fields(value)
        )
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
