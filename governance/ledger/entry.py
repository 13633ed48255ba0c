r"""One entry of the log: the bytes of its leaf, and the columns that are derived from it.

    leaf data = "concilium-entry/v1\n" seq "\n" received_at "\n" envelope bytes

Whoever verifies a log computes the leaf and every column anew from the stored bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.identity import names

if TYPE_CHECKING:
    from governance.statements import Statement


def leaf_data(seq: int, received_at: str, envelope: bytes) -> bytes:
    """Return the bytes that the tree hashes for an entry."""
    return b"concilium-entry/v1\n%d\n%s\n%s" % (seq, received_at.encode(), envelope)


def site_of(statement: Statement) -> str | None:
    """Return the site that an entry speaks for or about, if there is one."""
    role, name = names.parse_actor(statement.actor)
    if role == "site":
        return name
    if statement.body.get("role") == "site":
        return _text(statement.body.get("name"))
    return _text(statement.body.get("site"))


def columns(statement: Statement) -> dict[str, Any]:
    """Return every derived column of an entry, by the names of the table."""
    return {
        "statement": statement.digest,
        "kind": statement.kind,
        "actor": statement.actor,
        "site": site_of(statement),
        "round": _number(statement.body.get("round")),
        "attempt": _number(statement.body.get("attempt")),
        "agreement": _text(statement.body.get("agreement")),
        "signer": statement.key,
        "counter": statement.counter,
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
