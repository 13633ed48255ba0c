"""What an auditor asks of agreements, and of a consent's whole history; from entries alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, select

from governance import statements
from governance.ledger.entry import Entry
from governance.ledger.reading import disclosed, received_at, standing_at
from governance.ledger.schema import entries
from governance.ledger.standing import KINDS, Standing
from governance.statements import parse_time, timestamp
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.ledger.held import Held

AGREEMENTS: Final = (
    "agreement",
    "state",
    "proposed",
    "proposed_by",
    "changed",
    "purposes",
    "sites",
    "without_purpose",
    "proposed_seq",
    "changed_seq",
)
HISTORY: Final = (
    "seq",
    "received_at",
    "site",
    "kind",
    "state",
    "agreement",
    "officer",
    "until",
    "review",
    "reason",
)


def agreements_at(c: Connection, *, now: datetime, at: datetime | None = None) -> Answer:
    """Say which agreements there were, in which state, for which purposes, and who consents.

    `purposes` are those that any site consented to; `without_purpose` names the sites in force
    whose consent lacks one of them, which must be none.
    """
    moment = at or now
    standing = standing_at(c, moment)
    proposals = {row.agreement: row for row in c.execute(_of_kind("agreement-proposed"))}
    rows = [
        _agreement_row(c, standing, proposals[digest], moment) for digest in standing.agreements
    ]
    return Answer(
        AGREEMENTS,
        rows,
        title=f"Agreements as of {timestamp(moment)[:19].replace('T', ' ')} UTC",
        notes=() if rows else ("No agreement was ever proposed.",),
        facts={"as_of": timestamp(moment)},
    )


def _agreement_row(
    c: Connection, standing: Standing, proposal: Row[Any], moment: datetime
) -> tuple[object, ...]:
    agreed = standing.agreements[proposal.agreement]
    held = [one for one in standing.consents.values() if one.agreement == agreed.digest]
    permitting = [one for one in held if one.permits(moment)]
    terms = [one.terms for one in held if one.terms is not None]
    purposes = sorted({purpose for term in terms for purpose in term.purposes})
    lacking = [
        one.site
        for one in permitting
        if one.terms is not None and set(one.terms.purposes) != set(purposes)
    ]
    return (
        agreed.digest,
        agreed.state,
        proposal.received_at,
        proposal.actor.removeprefix("operator/"),
        received_at(c, agreed.changed_seq),
        ", ".join(purposes),
        ", ".join(sorted(one.site for one in permitting)),
        ", ".join(sorted(lacking)) or None,
        proposal.seq,
        agreed.changed_seq,
    )


def consent_history(c: Connection, *, site: str | None = None) -> Answer:
    """Say every step of every consent: what brought it about, and how it stood after."""
    rows = list(_steps(c, site))
    return Answer(
        HISTORY,
        rows,
        title=f"Consents from the first to the last step{f', {site}' if site else ''}",
        notes=() if rows else ("No site ever answered an agreement.",),
    )


def _steps(c: Connection, site: str | None) -> Iterator[tuple[object, ...]]:
    standing = Standing()
    for row in c.execute(_of_kind(*KINDS)):
        entry = Entry(row.seq, parse_time(row.received_at), statements.read(row.envelope))
        before, gone = dict(standing.consents), set(standing.revoked)
        standing.take(entry)
        for place, held in standing.consents.items():
            if site in {None, held.site} and before.get(place) != held:
                yield _step(c, entry, held, held.state.value)
        for name in standing.revoked.keys() - gone:
            for held in standing.consents.values():
                if held.site == name and site in {None, name}:
                    yield _step(c, entry, held, "revoked")


def _step(c: Connection, entry: Entry, held: Held, state: str) -> tuple[object, ...]:
    told = disclosed(c, entry.seq)
    given = entry.statement.kind == "consent-given" and entry.seq == held.given_seq
    return (
        entry.seq,
        timestamp(entry.received_at),
        held.site,
        entry.statement.kind,
        state,
        held.agreement,
        told.get("officer"),
        timestamp(held.terms.until) if held.terms else None,
        entry.body["review"] if given else None,
        told.get("reason"),
    )


def _of_kind(*kinds: str) -> Any:  # noqa: ANN401  (a select's type names every column)
    wanted = (
        entries.c.seq,
        entries.c.received_at,
        entries.c.actor,
        entries.c.agreement,
        entries.c.envelope,
    )
    return select(*wanted).where(entries.c.kind.in_(kinds)).order_by(entries.c.seq)
