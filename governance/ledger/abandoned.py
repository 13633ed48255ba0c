"""Why an attempt was abandoned: its reason, the rule behind it, and who broke that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.ledger.reading import statement_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row


def in_words(body: Mapping[str, Any]) -> str:
    """Return what `round-abandoned` says, such as `gate (secagg-r12: gemelli)`."""
    reason = str(body["reason"])
    if "rule" not in body:
        return reason
    names = ", ".join(sorted(body["refused"]))
    return f"{reason} ({body['rule']}{f': {names}' if names else ''})"


def reason_of(c: Connection, attempt: Row[Any]) -> str:
    """Return why an attempt of the table `rounds` was abandoned, empty where it was not."""
    return in_words(statement_at(c, attempt.ended_seq).body) if attempt.reason else ""
