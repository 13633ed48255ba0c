"""What the coordinator keeps beside the ledger: documents, invitations, waiting acts, notes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from coordinator.store.schema import documents, invitations, notes, pending_acts
from governance.identity.enrolment import Invitation
from governance.ledger.prepared import Prepared
from governance.statements import parse_time, timestamp
from protos import codec
from protos.errors import Corrupt, Refused
from protos.words import BlobRef, Digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from protos.words_operator import OperatorAct


MOVED: Final = "moved"
_HISTORY: Final = "history"
"""The note of where a database's federation went."""
_DOCUMENT: Final = Prepared(
    select(documents.c.raw).where(documents.c.digest == bindparam("digest"))
)
_NOTE: Final = Prepared(select(notes.c.value).where(notes.c.name == bindparam("name")))
_FORGET: Final = Prepared(delete(notes).where(notes.c.name == bindparam("this_name")))
_KEEP: Final = Prepared(insert(notes), ("name", "value"))
_OPEN: Final = Prepared(
    select(invitations.c.expires).where(
        invitations.c.used_by.is_(None), invitations.c.expires > bindparam("now")
    )
)


def check_not_moved(connection: Connection) -> None:
    """Refuse a database whose federation lives elsewhere now: two of them would be a fork."""
    where = note(connection, MOVED)
    if where:
        raise Refused(
            f"this federation was moved to {where}",
            todo="Write that as `database` in coordinator.yaml; this database is of the past.",
            rule="moved-away",
        )


def keep_document(connection: Connection, digest: Digest, raw: bytes) -> None:
    """Keep an agreement's document under its digest."""
    if document(connection, digest) is None:
        connection.execute(insert(documents).values(digest=digest, raw=raw))


def document(connection: Connection, digest: str) -> bytes | None:
    """Return an agreement's document.

    Raises:
        Corrupt: its bytes are not those that were proposed.
    """
    row = _DOCUMENT.first(connection, digest=digest)
    if row is None:
        return None
    _check_document(digest, row.raw)
    raw: bytes = row.raw
    return raw


def check_documents(connection: Connection) -> None:
    """Check every agreement's document; raises Corrupt as `document` does."""
    for digest, raw in connection.execute(select(documents.c.digest, documents.c.raw)):
        _check_document(digest, raw)


def _check_document(digest: str, raw: object) -> None:
    """Stops an agreement from being edited after hospitals consented to it."""
    if not isinstance(raw, bytes) or hashlib.sha256(raw).hexdigest() != digest:
        raise Corrupt(
            f"the document of the agreement {digest[:12]} is not what was proposed: the "
            "database was altered",
            todo="Restore the coordinator's database from a backup.",
            rule="altered-document",
        )


def note(connection: Connection, name: str) -> str:
    """Return a named value, empty when there is none."""
    row = _NOTE.first(connection, name=name)
    return "" if row is None else str(row.value)


def set_note(connection: Connection, name: str, value: str) -> None:
    """Keep a named value."""
    _FORGET.write(connection, {"this_name": name})
    _KEEP.write(connection, {"name": name, "value": value})


def blob_note(connection: Connection, name: str) -> BlobRef | None:
    """Return a named file, `digest size`."""
    value = note(connection, name)
    if not value:
        return None
    digest, size = value.split()
    return BlobRef(Digest(digest), int(size))


def set_blob_note(connection: Connection, name: str, blob: BlobRef | None) -> None:
    """Keep a named file."""
    set_note(connection, name, f"{blob.digest} {blob.size}" if blob else "")


def history(connection: Connection) -> list[float]:
    """Return the figures of committed models in order, until their agreement ends."""
    return [float(figure) for figure in json.loads(note(connection, _HISTORY) or "[]")]


def set_history(connection: Connection, figures: Sequence[float]) -> None:
    """Keep the figures of committed models."""
    set_note(connection, _HISTORY, json.dumps(figures))


def keep_act(connection: Connection, digest: Digest, act: OperatorAct) -> None:
    """Keep an act until a second operator signs it."""
    if waiting_act(connection, digest) is None:
        connection.execute(
            insert(pending_acts).values(digest=digest, message=codec.act_bytes(act))
        )


def waiting_act(connection: Connection, digest: Digest) -> OperatorAct | None:
    """Return an act that waits for its second signature."""
    message = connection.execute(
        select(pending_acts.c.message).where(pending_acts.c.digest == digest)
    ).scalar()
    return codec.act_parse(message) if message is not None else None


def waiting_acts(connection: Connection) -> list[OperatorAct]:
    """Return every act that waits for its second signature."""
    messages = connection.execute(select(pending_acts.c.message)).scalars()
    return [codec.act_parse(message) for message in messages]


def forget_act(connection: Connection, digest: Digest) -> None:
    """Forget an act that is done."""
    connection.execute(delete(pending_acts).where(pending_acts.c.digest == digest))


def invite(connection: Connection, invitation: Invitation) -> None:
    """Keep an invitation; only the hash of its secret is known here."""
    connection.execute(
        insert(invitations).values(
            secret_hash=invitation.secret_hash,
            role=invitation.role,
            name=invitation.name,
            expires=timestamp(invitation.expires),
        )
    )


def end_invitations(connection: Connection, name: str, now: datetime) -> bool:
    """End a name's open invitations, since a newer one takes their place; tell if any was."""
    ended = connection.execute(
        update(invitations)
        .where(
            invitations.c.name == name,
            invitations.c.used_by.is_(None),
            invitations.c.expires > timestamp(now),
        )
        .values(expires=timestamp(now))
    )
    return ended.rowcount > 0


def invitation(connection: Connection, secret_hash: str) -> Invitation | None:
    """Return the invitation of a secret."""
    row = connection.execute(
        select(invitations).where(invitations.c.secret_hash == secret_hash)
    ).first()
    if row is None:
        return None
    return Invitation(
        name=row.name,
        role=row.role,
        secret_hash=row.secret_hash,
        expires=parse_time(row.expires),
        used_by=row.used_by,
    )


def use_invitation(connection: Connection, secret_hash: str, statement: Digest) -> None:
    """Mark an invitation as used by a statement; it works for no other."""
    connection.execute(
        update(invitations)
        .where(invitations.c.secret_hash == secret_hash)
        .values(used_by=statement)
    )


def forget_invitation(connection: Connection, secret_hash: str) -> None:
    """Forget an invitation whose answer cannot have been lost."""
    connection.execute(delete(invitations).where(invitations.c.secret_hash == secret_hash))


def open_invitations_end(connection: Connection, now: datetime) -> datetime | None:
    """Return when the last open invitation expires, None when none is open."""
    ends = _OPEN.all(connection, now=timestamp(now))
    return max((parse_time(row.expires) for row in ends), default=None)


def used_invitations(connection: Connection, now: datetime) -> bool:
    """Tell whether an invitation that has not expired was used."""
    used = select(invitations.c.name).where(
        invitations.c.used_by.is_not(None), invitations.c.expires > timestamp(now)
    )
    return connection.execute(used.limit(1)).first() is not None
