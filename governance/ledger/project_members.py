"""Who is who: what enrolments, rotations, certificates, revocations and acts project.

Each function reads the projections as they are, refuses what cannot follow, and returns the
changes that the entry makes; whoever calls it carries them out once the entry is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, insert, select, update

from governance import canonical
from governance.identity import names
from governance.ledger import founding, replacing
from governance.ledger.schema import acts, certificates, keys, revocations
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.ledger.entry import Entry
    from governance.statements import Statement

USAGE_OF: Final[Mapping[str, str]] = {
    "coordinator": "ledger",
    "site": "agent",
    "operator": "operator",
    "auditor": "auditor",
}
"""What the key is for that a newcomer of each role signs with."""


def actor_of(row: Mapping[str, Any]) -> str:
    """Return how statements name the holder of a key, by its row."""
    role = str(row["role"])
    return role if role == names.AUTHORITY else names.actor(role, row["name"])


def newcomers(statement: Statement) -> list[dict[str, str]]:
    """Return the keys that an enrolment or a rotation brings in, as rows of `keys`."""
    body = statement.body
    if statement.kind == "key-rotated":
        return [_row(body["name"], _role(body), body["usage"], body["new"])]
    if statement.kind != "enrolled":
        return []
    name, role = body["name"], body["role"]
    rows = [_row(name, role, USAGE_OF[role], body["agent"])]
    rows += [_row(name, role, "officer", key) for key in body["officers"]]
    if "issuing" in body:
        authority = founding.founding(statement.envelope).authority
        rows.append(_row("authority", "authority", "authority", authority))
    return rows


def enrolled(c: Connection, e: Entry) -> list[Executable]:
    """Add a newcomer's keys; a key is taken for ever, a name until its exit is over.

    A hospital whose lost keys are replaced keeps its name: its old keys and its consents end.
    """
    from governance.ledger.project_exits import lapse_all, may_enrol_again

    rows, name = newcomers(e.statement), e.body["name"]
    _check_new(c, [row["key_id"] for row in rows])
    known = c.execute(select(keys.c.role).where(keys.c.name == name)).scalars().first()
    changes: list[Executable] = []
    if known is not None and not (known == e.body["role"] and may_enrol_again(c, name)):
        replaced = replacing.asked(c, name) if known == e.body["role"] == "site" else None
        if replaced is None:
            raise Refused(f"{e.body['name']} is enrolled already", rule="name-taken")
        replaced.check(name, e.received_at)
        ends = update(keys).where(keys.c.name == name, keys.c.until_seq.is_(None))
        changes = [ends.values(until_seq=e.seq), *lapse_all(c, name, e.seq)]
    return [*changes, insert(keys).values([{**row, "from_seq": e.seq} for row in rows])]


def key_rotated(c: Connection, e: Entry) -> list[Executable]:
    """End one key and begin the next of the same name and usage."""
    body = e.body
    (row,) = newcomers(e.statement)
    _check_new(c, [body["new"]])
    old = c.execute(
        select(keys.c.key_id).where(
            keys.c.key_id == body["old"],
            keys.c.name == body["name"],
            keys.c.usage == body["usage"],
            keys.c.until_seq.is_(None),
        )
    ).first()
    if old is None:
        raise Refused(
            f"the old key is not {body['name']}'s {body['usage']} key", rule="wrong-key"
        )
    return [
        update(keys).where(keys.c.key_id == body["old"]).values(until_seq=e.seq),
        insert(keys).values(**row, from_seq=e.seq),
    ]


def certificate_issued(c: Connection, e: Entry) -> list[Executable]:
    """Add a certificate of somebody who is enrolled in that role and not revoked."""
    body = e.body
    holder = c.execute(
        select(keys.c.key_id).where(
            keys.c.name == body["name"], keys.c.role == body["role"], keys.c.until_seq.is_(None)
        )
    ).first()
    if holder is None:
        raise Refused(f"{body['name']} is not enrolled as {body['role']}", rule="not-enrolled")
    same = select(certificates.c.serial).where(certificates.c.serial == body["serial"])
    if c.execute(same).first():
        raise Refused("this serial number was issued before", rule="serial-taken")
    row = {name: body[name] for name in ("serial", "name", "role", "fingerprint", "not_after")}
    return [insert(certificates).values(**row, seq=e.seq)]


def revoked(c: Connection, e: Entry) -> list[Executable]:
    """Bar a name and end all its keys."""
    name = e.body["name"]
    if name in {"coordinator", "authority"}:
        raise Refused("the coordinator is replaced by its root, not revoked", rule="wrong-name")
    if not c.execute(select(keys.c.name).where(keys.c.name == name)).first():
        raise Refused(f"{name} is not enrolled", rule="not-enrolled")
    if c.execute(select(revocations.c.name).where(revocations.c.name == name)).first():
        raise Refused(f"{name} is revoked already", rule="already-revoked")
    ends = update(keys).where(keys.c.name == name, keys.c.until_seq.is_(None))
    return [
        insert(revocations).values(name=name, seq=e.seq),
        ends.values(until_seq=e.seq),
        act(e, "revoke"),
    ]


def operator_acted(_c: Connection, e: Entry) -> list[Executable]:
    """Add an operator's act."""
    return [act(e, e.body["act"])]


def act(e: Entry, name: str) -> Executable:
    """Return the row of an operator's act; all that it says beside its name is the detail."""
    detail = {field: value for field, value in e.body.items() if field != "act"}
    return insert(acts).values(
        seq=e.seq, operator=e.actor_name, act=name, detail=canonical.encode(detail).decode()
    )


def nothing(_c: Connection, _e: Entry) -> list[Executable]:
    """Change no table: the entry itself is the record."""
    return []


def _check_new(c: Connection, key_ids: Sequence[str]) -> None:
    """Stops one key from serving two names, or from coming back after its end."""
    known = c.execute(select(keys.c.name).where(keys.c.key_id.in_(key_ids))).first()
    if known is not None or len(set(key_ids)) != len(key_ids):
        raise Refused("a key serves one name for ever, and this one is taken", rule="key-taken")


def _role(body: Mapping[str, Any]) -> str:
    return "authority" if body["usage"] == "authority" else "site"


def _row(name: str, role: str, usage: str, key_id: str) -> dict[str, str]:
    return {"name": name, "role": role, "usage": usage, "key_id": key_id}
