"""Who is enrolled: keys and certificates that count now, by the ledger's projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from governance.ledger.schema import certificates, entries, keys, revocations
from protos.words import KeyId

if TYPE_CHECKING:
    from sqlalchemy import Connection


def operator_keys(connection: Connection) -> dict[str, KeyId]:
    """Return every operator's key that counts now."""
    return {name: held[0] for name, held in _keys(connection, "operator").items()}


def officer_keys(connection: Connection) -> dict[str, tuple[KeyId, ...]]:
    """Return every enrolled site's officer keys."""
    return _keys(connection, "officer")


def enrolled(connection: Connection) -> list[tuple[str, str, tuple[KeyId, ...]]]:
    """Return (name, role, keys) of everybody enrolled: officer keys of a site, else the own."""
    rows = connection.execute(
        select(keys.c.name, keys.c.role, keys.c.key_id)
        .where(keys.c.until_seq.is_(None), keys.c.usage.in_(("officer", "operator", "auditor")))
        .order_by(keys.c.name, keys.c.from_seq)
    )
    held: dict[tuple[str, str], tuple[KeyId, ...]] = {}
    for row in rows:
        named = (row.name, row.role)
        held[named] = (*held.get(named, ()), KeyId(row.key_id))
    return [(name, role, ids) for (name, role), ids in held.items()]


def agent_keys(connection: Connection) -> dict[str, KeyId]:
    """Return every enrolled site's agent key."""
    return {name: held[-1] for name, held in _keys(connection, "agent").items()}


def authority_key(connection: Connection) -> KeyId:
    """Return the key of the issuing authority that counts now."""
    return _keys(connection, "authority")["authority"][-1]


def _keys(connection: Connection, usage: str) -> dict[str, tuple[KeyId, ...]]:
    rows = connection.execute(
        select(keys.c.name, keys.c.key_id)
        .where(keys.c.usage == usage, keys.c.until_seq.is_(None))
        .order_by(keys.c.from_seq)
    )
    held: dict[str, tuple[KeyId, ...]] = {}
    for row in rows:
        held[row.name] = (*held.get(row.name, ()), KeyId(row.key_id))
    return held


def is_enrolled(connection: Connection, name: str) -> bool:
    """Say whether a name has any key."""
    return (
        connection.execute(select(keys.c.name).where(keys.c.name == name)).first() is not None
    )


def serials_before_enrolment(connection: Connection, name: str = "") -> frozenset[str]:
    """Return the certificates that were issued before their name enrolled last; of all, or one.

    Who enrols anew, having left or lost its keys, has certificates of its own.
    """
    last = (
        select(entries.c.actor, func.max(entries.c.seq).label("seq"))
        .where(entries.c.kind == "enrolled")
        .group_by(entries.c.actor)
        .subquery()
    )
    named = (certificates.c.role + "/" + certificates.c.name) == last.c.actor
    old = select(certificates.c.serial).where(named, certificates.c.seq < last.c.seq)
    if name:
        old = old.where(certificates.c.name == name)
    return frozenset(connection.execute(old).scalars())


def revoked(connection: Connection) -> frozenset[str]:
    """Return every revoked name."""
    return frozenset(connection.execute(select(revocations.c.name)).scalars())
