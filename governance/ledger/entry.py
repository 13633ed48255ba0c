r"""One entry of the log: the bytes of its leaf, and the columns that are derived from it.

    leaf data = "concilium-entry/v1\n" seq "\n" received_at "\n" envelope bytes

Whoever verifies a log computes the leaf and every column anew from the stored bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance.identity import names
from governance.statements import is_digest, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from governance.statements import Statement


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement with its place in the log; `received_at` by the coordinator's clock."""

    seq: int
    received_at: datetime
    statement: Statement

    @property
    def body(self) -> Mapping[str, Any]:
        """The statement's body."""
        return self.statement.body

    @property
    def leaf_data(self) -> bytes:
        """The bytes that the tree hashes."""
        return leaf_data(self.seq, timestamp(self.received_at), self.statement.envelope)

    @property
    def actor_name(self) -> str:
        """The name of whoever speaks, without its role."""
        return names.parse_actor(self.statement.actor)[1]


def leaf_data(seq: int, received_at: str, envelope: bytes) -> bytes:
    """Return the bytes that the tree hashes for an entry."""
    return b"concilium-entry/v1\n%d\n%s\n%s" % (seq, received_at.encode(), envelope)


def site_of(statement: Statement) -> str | None:
    """Return the site that an entry speaks for or about, if there is one."""
    role, name = names.parse_actor(statement.actor)
    body = statement.body
    if role == "site":
        return name
    about = body.get("name") if body.get("role") == "site" else body.get("site")
    return about if isinstance(about, str) and names.is_name(about) else None


def columns(statement: Statement) -> dict[str, Any]:
    """Return every derived column of an entry, by the names of the table."""
    agreement = statement.body.get("agreement")
    return {
        "statement": statement.digest,
        "kind": statement.kind,
        "actor": statement.actor,
        "site": site_of(statement),
        "round": _number(statement.body.get("round")),
        "attempt": _number(statement.body.get("attempt")),
        "agreement": agreement if is_digest(agreement) else None,
        "signer": statement.key,
        "counter": statement.counter,
    }


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
