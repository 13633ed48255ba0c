"""One entry in full: what was said, by which key, and the proof that it is in the log."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select

from governance import statements
from governance.ledger import checkpoint, merkle, note, store
from governance.ledger.schema import checkpoints, disclosures, entries, erasures
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from governance.statements import Statement


def show(c: Connection, seq: int, *, proof: bool = False) -> Answer:
    """Show an entry; with `proof`, also that it is in the tree of the next checkpoint.

    The proof is a file of c2sp.org/tlog-proof, which needs no database and none of ours.

    Raises:
        Refused: there is no such entry, or no checkpoint covers it yet.
    """
    row = c.execute(select(entries).where(entries.c.seq == seq)).first()
    if row is None:
        raise Refused(
            f"there is no entry {seq}; the log has {store.size_of(c)}, counted from 0",
            rule="unknown-entry",
        )
    statement = statements.read(row.envelope)
    facts: dict[str, Any] = {
        "seq": seq,
        "envelope": row.envelope.decode(),
        "statement": json.loads(statement.payload),
    }
    if proof:
        facts["proof"] = _proof(c, seq)
    return Answer(
        ("field", "value"),
        list(_fields(c, row, statement)),
        title=f"Entry {seq}",
        facts=facts,
    )


def _fields(
    c: Connection, row: Row[Any], statement: Statement
) -> Iterator[tuple[object, object]]:
    yield "kind", statement.kind
    yield "actor", statement.actor
    yield "received_at", row.received_at
    yield "signed_at", statements.timestamp(statement.at)
    yield "log", f"{statement.log.origin}, root {statement.log.root}"
    for name, value in sorted(statement.body.items()):
        yield name, value if isinstance(value, str | int) else _plain(value)
    told = {
        one.label: one.value
        for one in c.execute(select(disclosures).where(disclosures.c.seq == row.seq))
    }
    gone = {
        one.label: f"erased, seq {one.erased_seq}"
        for one in c.execute(select(erasures).where(erasures.c.entry_seq == row.seq))
        if one.erased_seq is not None
    }
    for label, digest in sorted(statement.commitments.items()):
        hidden = gone.get(label, f"not disclosed (SHA-256 {digest})")
        yield f"disclosed {label}", told.get(label, hidden)
    yield "counter", statement.counter
    yield "previous", statement.previous
    yield "signed by", "\n".join(sorted(statement.signatures))
    yield "statement", statement.digest
    yield "leaf", row.leaf_hash.hex()


def _plain(value: object) -> str:
    """Write a list or an object for eyes."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _proof(c: Connection, seq: int) -> str:
    """Return what proves an entry offline, by the first checkpoint that covers it."""
    size = c.execute(
        select(checkpoints.c.size)
        .where(checkpoints.c.size > seq)
        .order_by(checkpoints.c.size)
        .limit(1)
    ).scalar()
    head = None if size is None else store.checkpoint_of(c, size)
    if size is None or head is None:
        raise Refused(
            f"no checkpoint covers entry {seq} yet",
            todo="The next round's checkpoint will.",
            rule="no-checkpoint",
        )
    hashes = store.inclusion(c, seq, size)
    leaf = c.execute(select(entries.c.leaf_hash).where(entries.c.seq == seq)).scalar_one()
    root = checkpoint.parse_body(note.parse(head).text).root
    merkle.verify_inclusion(seq, size, leaf, hashes, root)
    lines = [base64.b64encode(one).decode() for one in hashes]
    return "\n".join(["c2sp.org/tlog-proof@v1", f"index {seq}", *lines, "", head])
