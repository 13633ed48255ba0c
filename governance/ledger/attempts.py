"""The attempt of a round that an entry speaks of: which it is, whom it asked, who consents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Row, bindparam, select

from governance.ledger import project_consents
from governance.ledger.prepared import Prepared
from governance.ledger.schema import rounds
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry

_ATTEMPT: Final = Prepared(
    select(rounds).where(
        rounds.c.round == bindparam("round"), rounds.c.attempt == bindparam("attempt")
    ),
    kept=True,
)


def known(c: Connection, body: Mapping[str, Any]) -> Row[Any]:
    """Return the attempt that an entry's body speaks of."""
    row: Row[Any] | None = _ATTEMPT.first(c, round=body["round"], attempt=body["attempt"])
    if row is None or row.agreement != body["agreement"]:
        raise Refused(
            f"there is no round {body['round']}, attempt {body['attempt']} of this agreement",
            rule="unknown-round",
        )
    return row


def opened(c: Connection, e: Entry) -> Row[Any]:
    """Return the attempt that an entry speaks of; it is open."""
    row = known(c, e.body)
    if row.state != "open":
        raise Refused(
            f"round {row.round}, attempt {row.attempt} is {row.state}", rule="round-over"
        )
    return row


def asked(row: Row[Any]) -> list[str]:
    """Return the sites that an attempt asked."""
    return list(json.loads(row.sites))


def asked_in(c: Connection, e: Entry) -> list[str]:
    """Return the sites that the open attempt of an entry asked."""
    return asked(opened(c, e))


def member(c: Connection, e: Entry, attempt: Row[Any]) -> Row[Any]:
    """Return the speaking site's consent; it was asked in the attempt."""
    site = e.actor_name
    if site not in asked(attempt):
        raise Refused(f"{site} was not asked in this attempt", rule="not-asked")
    agreed = project_consents.agreement(c, attempt.agreement)
    return project_consents.permitted(c, site, agreed, e.received_at)


def permitted(c: Connection, e: Entry, attempt: Row[Any]) -> Row[Any]:
    """Return the speaking site's consent; figures are asked of who was drawn from, too."""
    agreed = project_consents.agreement(c, attempt.agreement)
    return project_consents.permitted(c, e.actor_name, agreed, e.received_at)


def check_permitted(c: Connection, e: Entry) -> None:
    """Check that each site that an entry names consents now."""
    agreed = project_consents.agreement(c, e.body["agreement"])
    project_consents.check_in_force(c, e.body["sites"], agreed, e.received_at)


def check_same(body: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    """Check that what a body says is what the record has."""
    for name, value in expected.items():
        if body[name] != value:
            raise Refused(f"its {name} is not the one of the record", rule="wrong-base")


def of_known_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of was opened."""
    known(c, e.body)
    return []


def of_open_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of is open."""
    opened(c, e)
    return []


def of_ended_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of is over."""
    if known(c, e.body).state == "open":
        raise Refused("the round is open still", rule="round-open")
    return []
