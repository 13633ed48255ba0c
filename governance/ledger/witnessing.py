"""Checkpoints in the database: signed by the log, kept by its copies, cosigned by the sites.

The log never signs a head that does not extend the last one it signed. A copy never keeps one
that is not the head of its own entries at that size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, bindparam, insert, select

from governance.ledger import checkpoint, founding, tree
from governance.ledger.checkpoint import Checkpoint
from governance.ledger.prepared import Prepared
from governance.ledger.schema import checkpoints, cosignatures, exit_steps, keys
from protos.errors import Corrupt, Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.identity.keys import Signer

_OF_SIZE: Final = Prepared(select(checkpoints).where(checkpoints.c.size == bindparam("size")))
_NEWEST: Final = Prepared(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1))
_KEEP: Final = Prepared(insert(checkpoints), ("size", "root", "note"))
_COSIGNED: Final = Prepared(
    select(cosignatures.c.site, cosignatures.c.line)
    .where(cosignatures.c.size == bindparam("size"))
    .order_by(cosignatures.c.site)
)
_COSIGN: Final = Prepared(insert(cosignatures), ("size", "site", "line"))
_KEY: Final = Prepared(
    select(keys.c.key_id).where(
        keys.c.name == bindparam("name"),
        keys.c.usage == bindparam("usage"),
        keys.c.until_seq.is_(None),
    )
)
"""Made once, as every round asks and writes them."""


def sign_checkpoint(c: Connection, key: Signer, origin: str) -> str:
    """Sign the head of the log, store it and return the note; the same head is signed once.

    Raises:
        Refused: the key is not the log's, or the log is empty.
        Corrupt: the head does not extend what was signed last; nothing is signed then.
    """
    if key.key_id != ledger_key(c) or origin != founding.of_log(c).log.origin:
        raise Refused("this is not the log's key and origin", rule="wrong-key")
    size = tree.size(c)
    head = Checkpoint(origin, size, tree.root(c, size))
    last = _NEWEST.first(c)
    if last is not None:
        # Stops the log from signing two histories, whatever happened to its database.
        if last.size > size or tree.root(c, last.size) != last.root:
            raise Corrupt(
                f"the log does not extend the checkpoint of size {last.size} that it signed",
                todo="Run concilium-ledger verify; do not sign anything before.",
                rule="history-rewritten",
            )
        if last.size == size:
            return str(last.note)
    note = checkpoint.sign(head, key)
    _KEEP.write(c, {"size": size, "root": head.root, "note": note})
    return note


def add_checkpoint(c: Connection, note: str) -> Checkpoint:
    """Keep a checkpoint of the log that this is a copy of; its own signature alone is kept.

    1. The log's key, as this copy knows it, signed it. Stops a head that somebody made up.
    2. This copy reaches it. Stops a head over entries that nobody saw.
    3. Its root is that of the entries here. Stops a second history.

    Raises:
        PeerFault: the note cannot be read or 1 does not hold.
        Refused: 2 or 3; the rule of 3 is `history-differs`.
    """
    # 1.
    key = checkpoint.log_key(founding.of_log(c).log.origin, ledger_key(c))
    head = checkpoint.read(note, key)
    # 2.
    if head.size > tree.size(c):
        raise Refused(f"this copy has fewer than {head.size} entries", rule="copy-too-short")
    # 3.
    if tree.root(c, head.size) != head.root:
        raise Refused(
            f"the log's checkpoint of size {head.size} is not over the entries of this copy",
            rule="history-differs",
        )
    if _OF_SIZE.first(c, size=head.size) is None:
        own = checkpoint.only_by(note, key)
        _KEEP.write(c, {"size": head.size, "root": head.root, "note": own})
    return head


def checkpoint_of(c: Connection, size: int) -> str | None:
    """Return the checkpoint of a size with every cosignature known, or None."""
    found = _OF_SIZE.first(c, size=size)
    if found is None:
        return None
    return checkpoint.with_cosignatures(found.note, cosigners(c, size).values())


def latest_checkpoint(c: Connection) -> str | None:
    """Return the latest checkpoint with every cosignature known, or None."""
    newest = _NEWEST.first(c)
    return None if newest is None else checkpoint_of(c, newest.size)


def add_cosignature(c: Connection, size: int, line: str, site: str) -> None:
    """Store a site's cosignature; a second one of the same site and size changes nothing.

    1. There is a checkpoint of this size. Stops a cosignature from waiting for a fork.
    2. The site's agent key of today made it, or the last one of a site that left. Stops one
       witness from standing for another.

    Raises:
        Refused: 1, or the site has no agent key now.
        PeerFault: 2.
    """
    found = _OF_SIZE.first(c, size=size)
    # 1.
    if found is None:
        raise Refused(f"there is no checkpoint of size {size}", rule="unknown-checkpoint")
    known = cosigners(c, size).get(site)
    if known == line:
        return  # it was checked when it came
    # 2.
    agent = _key(c, site, "agent") or _last_key(c, site)
    if agent is None:
        raise Refused(f"{site} has no agent key now", rule="key-not-enrolled")
    witness = checkpoint.witness_key(founding.of_log(c).log.origin, site, agent)
    checkpoint.cosignature(found.note, line, witness)
    if known is None:
        _COSIGN.write(c, {"size": size, "site": site, "line": line})


def cosigners(c: Connection, size: int) -> Mapping[str, str]:
    """Return the sites that cosigned the checkpoint of a size, each with its line."""
    return {row.site: row.line for row in _COSIGNED.all(c, size=size)}


def ledger_key(c: Connection) -> KeyId:
    """Return the key that signs the log now, or raise Refused where the log is empty."""
    key = _key(c, "coordinator", "ledger")
    if key is None:
        raise Refused("the log is empty", rule="no-genesis")
    return key


def _last_key(c: Connection, site: str) -> KeyId | None:
    """Return the agent key that ended when a site left: it may see its own exit through."""
    steps = select(exit_steps.c.seq).where(exit_steps.c.site == site)
    key = c.execute(
        select(keys.c.key_id).where(
            keys.c.name == site, keys.c.usage == "agent", keys.c.until_seq.in_(steps)
        )
    ).scalar()
    return None if key is None else KeyId(key)


def _key(c: Connection, name: str, usage: str) -> KeyId | None:
    """Return the key that a name has for a usage now."""
    row = _KEY.first(c, name=name, usage=usage)
    return None if row is None else KeyId(row.key_id)
