"""Named values of a federation: where the session stands, what still waits to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, String, Table, Text, bindparam, delete, insert, select

from governance.ledger.prepared import Prepared
from protos import codec
from protos.words import BlobRef, CheckpointSent, Digest, ToSite
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

TAKEN: Final = "taken"
SENT: Final = "sent"
CHECKPOINT: Final = "checkpoint"
"""The last checkpoint that came and is not witnessed yet."""
COSIGNED: Final = "cosigned"
"""The size whose cosignature is in the outbox or beyond."""
RELINK: Final = "relink"
"""The agent key's chain and the ledger differ: look there before anything is signed again."""
DATED: Final = "dated"
"""What the ledger refused as dated ahead: said again once the clocks agree; digests."""
ALARM: Final = "alarm"
"""Why the ledger is not to be trusted; nothing but an administrator takes it away."""
EVIDENCE: Final = "evidence"
"""The two signed notes behind the alarm."""
NEW_LOG: Final = "new-log"
"""The declaration of a new log that waits for the officers' word, by its digest."""
TRUSTED: Final = "trusted"
"""The new log that the officers accepted and the agent has not gone on with yet."""
ROLLED_BACK: Final = "rolled-back"
"""Why the store is older than what its keys have signed; `recover` alone takes it away."""
RENUMBER: Final = "renumber"
"""The store was recovered: the next hello asks to count messages from one again."""
OPEN_TASKS: Final = "open-tasks"
"""The tasks that were sent and not settled when the store was recovered, for their refusal."""
PROPOSED: Final = "proposed"
"""When an agreement was proposed, by the log, that this store has not received again yet."""
LOST: Final = "lost"
"""The ledger was recovered: what it lacks is lost, and nobody dropped it."""
WAITS: Final = "waits"
"""Why a task waits for the others' cosignatures, for eyes."""
CERTIFICATE: Final = "certificate"
"""A renewed certificate that came and is not in its place yet."""
RENEWAL: Final = "renewal"
"""When a renewed certificate was asked for last."""
FINAL: Final = "final"
"""The final model that is still to be fetched: digest and size."""
LEFT_OUT: Final = "left-out"
"""Which patients the ledger was last told to be left out, as a keyed digest."""
DECLARED: Final = "declared"
"""How many patients the administrator wants declared with the next task: agreement, number."""
LEFT: Final = "left"
"""This site has left the federation and keeps the certificate of it."""
TOLD: Final = "told"
"""What the program that site.yaml names was told of already."""
FAULT: Final = "fault"
"""The last thing that went wrong, for eyes."""

_notes: Final = Table(
    "notes",
    metadata,
    Column("federation", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
_NAMED: Final = (
    _notes.c.federation == bindparam("this_federation"),
    _notes.c.name == bindparam("this_name"),
)
_NOTE: Final = Prepared(select(_notes.c.value).where(*_NAMED))
_FORGET: Final = Prepared(delete(_notes).where(*_NAMED))
_CLEAR: Final = Prepared(
    delete(_notes).where(*_NAMED, _notes.c.value == bindparam("this_value"))
)
_KEEP: Final = Prepared(insert(_notes), ("federation", "name", "value"))


def note(c: Connection, federation: str, name: str) -> str:
    """Return a named value of a federation, empty when there is none."""
    row = _NOTE.first(c, this_federation=federation, this_name=name)
    return "" if row is None else str(row.value)


def set_note(c: Connection, federation: str, name: str, value: str) -> None:
    """Keep a named value; an empty one is forgotten."""
    _FORGET.write(c, {"this_federation": federation, "this_name": name})
    if value:
        _KEEP.write(c, {"federation": federation, "name": name, "value": value})


def clear_note(c: Connection, federation: str, name: str, value: str) -> None:
    """Forget a named value, unless it has changed since it was read as `value`."""
    here = {"this_federation": federation, "this_name": name}
    _CLEAR.write(c, {**here, "this_value": value})


def checkpoint_text(body: CheckpointSent) -> str:
    """Write a checkpoint as a note's value."""
    return codec.to_site_bytes(ToSite(body)).hex()


def checkpoint_of(text: str) -> CheckpointSent:
    """Read what `checkpoint_text` wrote."""
    body = codec.to_site_parse(bytes.fromhex(text)).body
    assert isinstance(body, CheckpointSent)
    return body


def blob_of(text: str) -> BlobRef:
    """Read `digest size`."""
    digest, size = text.split()
    return BlobRef(Digest(digest), int(size))
