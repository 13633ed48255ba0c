"""What a hospital keeps of its exit: each entry, with the proof that it is in the log.

A file of JSON that needs no database: the entries as they lie in the log, an inclusion proof
for each (RFC 9162), and a checkpoint that the log signed and hospitals cosigned. Against the
log's key as the hospital enrolled under it, it convicts whoever denies the exit later.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import statements
from governance.exits import Exit, Scope
from governance.ledger import checkpoint, founding, merkle, note, store
from governance.ledger.entry import leaf_data
from governance.ledger.schema import checkpoints, entries, exit_steps, exits
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_FORM: Final = "concilium-exit/1"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a certificate shows: whose exit, its steps in order, and who signed the head."""

    federation: str
    site: str
    closed: bool
    steps: tuple[str, ...]
    size: int
    key: str
    signers: tuple[str, ...]


def made(c: Connection, site: str) -> bytes | None:
    """Return the certificate of a site's last exit from the federation, as far as a log goes.

    None where the log has no exit of it under a checkpoint.
    """
    last = c.execute(
        select(exits)
        .where(exits.c.site == site, exits.c.scope == Scope.FEDERATION.value)
        .order_by(exits.c.seq.desc())
        .limit(1)
    ).first()
    newest = select(checkpoints.c.size).order_by(checkpoints.c.size.desc()).limit(1)
    size = c.execute(newest).scalar()
    if last is None or size is None or last.seq >= size:
        return None
    steps = select(exit_steps.c.seq).where(exit_steps.c.exit_seq == last.seq)
    enrolled = select(entries.c.seq).where(
        entries.c.kind == "enrolled", entries.c.site == site, entries.c.seq < last.seq
    )
    seqs = {0, last.seq, *c.execute(steps).scalars(), *c.execute(enrolled).scalars()}
    closed = last.state == Exit.CLOSED.value and last.changed_seq < size
    if closed:
        seqs.add(last.changed_seq)
    fields = {
        "form": _FORM,
        "site": site,
        "exit": last.seq,
        "closed": closed,
        "checkpoint": store.checkpoint_of(c, size),
        "entries": [_entry(c, seq, size) for seq in sorted(seqs) if seq < size],
    }
    return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"


def is_whole(c: Connection, site: str) -> bool:
    """Tell whether a site's exit is closed in a log, and under a checkpoint."""
    raw = made(c, site)
    return raw is not None and bool(json.loads(raw)["closed"])


def check(raw: bytes, *, where: str) -> Shown:
    """Check a certificate and return what it shows.

    1. Its form. Stops a file that is something else.
    2. The log's first entry names the key that signed the head. Stops a head of another log.
    3. Each entry is in the tree under that head. Stops an entry that nobody wrote.
    4. Each is of this exit: the request, its steps, its end. Stops another hospital's.

    Raises:
        Refused: naming what does not hold.
    """
    try:
        return _checked(json.loads(raw))
    except (ValueError, KeyError, TypeError, PeerFault, binascii.Error) as problem:
        raise Refused(
            "this is no exit certificate, or it was altered",
            where=where,
            todo="The hospital keeps it in state/exits/, and an export of the ledger says the "
            "same: concilium-ledger exit SITE --export DIR",
            rule="bad-exit-certificate",
        ) from problem


def _checked(fields: Mapping[str, Any]) -> Shown:
    # 1.
    if fields["form"] != _FORM:
        raise ValueError("another form")
    held = [(int(one["seq"]), one) for one in fields["entries"]]
    said = {seq: statements.read(one["envelope"].encode()) for seq, one in held}
    # 2.
    first = founding.founding(said[0].envelope)
    key = checkpoint.log_key(first.log.origin, said[0].body["agent"])
    head = checkpoint.read(fields["checkpoint"], key)
    # 3.
    for seq, one in held:
        leaf = merkle.leaf_hash(leaf_data(seq, one["received_at"], one["envelope"].encode()))
        proof = [base64.b64decode(part, validate=True) for part in one["proof"]]
        merkle.verify_inclusion(seq, head.size, leaf, proof, head.root)
    # 4.
    begun, site = int(fields["exit"]), str(fields["site"])
    steps = [
        statement
        for seq, statement in sorted(said.items())
        if seq == begun or statement.body.get("exit") == begun
    ]
    if any(one.body["site"] != site for one in steps) or begun not in said:
        raise ValueError("another hospital's exit")
    closed = steps[-1].kind == "exit-closed"
    if closed != fields["closed"]:
        raise ValueError("it says another end than its entries")
    names = tuple(str(one.body.get("step", one.kind)) for one in steps)
    signers = tuple(sorted(one.name for one in note.parse(fields["checkpoint"]).signatures))
    return Shown(
        first.log.federation,
        site,
        closed,
        names,
        head.size,
        str(said[0].body["agent"]),
        signers,
    )


def _entry(c: Connection, seq: int, size: int) -> dict[str, Any]:
    row = c.execute(select(entries).where(entries.c.seq == seq)).one()
    return {
        "seq": seq,
        "received_at": row.received_at,
        "envelope": row.envelope.decode(),
        "proof": [base64.b64encode(one).decode() for one in store.inclusion(c, seq, size)],
    }
