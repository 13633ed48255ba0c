"""Who is enrolled: keys and certificates that count now, by the ledger's projections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select

from governance.ledger.prepared import Prepared
from governance.ledger.schema import certificates, entries, keys, revocations
from governance.statements import parse_time
from protos.words import KeyId

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_KEYS: Final = Prepared(
    select(keys.c.name, keys.c.key_id)
    .where(keys.c.usage == bindparam("usage"), keys.c.until_seq.is_(None))
    .order_by(keys.c.from_seq)
)
_REVOKED: Final = Prepared(select(revocations.c.name))
"""Made once, as every round asks them."""


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
    held: dict[str, tuple[KeyId, ...]] = {}
    for row in _KEYS.all(connection, usage=usage):
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


def sites(connection: Connection) -> frozenset[str]:
    """Return the hospitals that are enrolled now and not revoked."""
    return frozenset(officer_keys(connection).keys() - revoked(connection))


def fingerprint(connection: Connection, name: str, serial: str) -> str:
    """Return the fingerprint of a certificate that was issued to a site, or nothing."""
    found = connection.execute(
        select(certificates.c.fingerprint).where(
            certificates.c.serial == serial,
            certificates.c.name == name,
            certificates.c.role == "site",
        )
    ).scalar()
    return str(found or "")


def certificates_end(connection: Connection) -> dict[str, datetime]:
    """Return until when the newest certificate of each site counts that is enrolled now."""
    here = sites(connection)
    rows = connection.execute(
        select(certificates.c.name, func.max(certificates.c.not_after).label("until"))
        .where(certificates.c.role == "site")
        .group_by(certificates.c.name)
    )
    return {row.name: parse_time(row.until) for row in rows if row.name in here}


def revoked(connection: Connection) -> frozenset[str]:
    """Return every revoked name."""
    return frozenset(row.name for row in _REVOKED.all(connection))
