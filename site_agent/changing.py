"""Changes that ask for no consent: this site computes their class itself, and holds to it.

An agreement that superseded another on the same material terms is acknowledged with the agent
key: at once when the change is editorial, after the notice since it came here when it is
operational. The consent is carried over as it stands: in force, paused or objected. This site's
copy of the ledger must say that it is in force; the coordinator's word is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement.classes import Klass
from governance.agreement.load import parse
from governance.agreement.succession import class_between, due_at
from governance.consent import CARRIED, Consent
from site_agent import voice
from site_agent.standing import ACKNOWLEDGED, said_of, standing_of
from site_agent.store import journal, terms
from site_agent.voice import OVERTAKEN, Saying

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from site_agent.membership import Membership
    from site_agent.store.terms import Offered


_AGAIN: Final = frozenset({OVERTAKEN, "not-in-ledger"})
"""Why a statement is void that may be said again."""


@dataclass(frozen=True, slots=True)
class Change:
    """An agreement that follows one this site consents to, on the same material terms.

    `due` is when this site acknowledges it, by its own notice.
    """

    former: Document
    new: Document
    klass: Klass
    due: datetime


def acknowledge(c: Connection, m: Membership, states: Mapping[str, str]) -> datetime | None:
    """Acknowledge what took force and is due; return when the next of them will be.

    Args:
        c: The store.
        m: This site's membership.
        states: The agreements' states by the site's own copy of the ledger.
    """
    later: list[datetime] = []
    superseded = {digest for digest, state in states.items() if state == "superseded"}
    for offered in terms.every(c, m.federation):
        if states.get(offered.digest) != "in-force" or _was_refused(c, m, offered):
            continue
        change = _change(c, m, offered, superseded)
        if change is None:
            continue
        if m.now() < change.due:
            later.append(change.due)
            continue
        body = {
            "agreement": change.new.digest,
            "material": change.new.material,
            "former": change.former.digest,
            "class": change.klass.word,
        }
        voice.say(c, m.voice, Saying(ACKNOWLEDGED, body, "no-consent-asked"))
    return min(later, default=None)


def waiting(c: Connection, m: Membership) -> list[Change]:
    """Return the changes that are proposed and will ask for no consent."""
    every = terms.every(c, m.federation)
    standing = {str(one.digest) for one in every if one.state == "in-force"}
    proposed = (one for one in every if one.state == "proposed")
    found = (_change(c, m, one, standing) for one in proposed)
    return [change for change in found if change is not None]


def change_of(c: Connection, m: Membership, digest: str) -> Change | None:
    """Return a proposal as a change that asks for no consent; None where it asks for one."""
    return next((one for one in waiting(c, m) if one.new.digest == digest), None)


def lineage(c: Connection, federation: str, agreement: str) -> Iterator[str]:
    """Return an agreement, and those whose consent was carried over to it, newest first."""
    yield agreement
    for said in journal.of_agreement(c, federation, agreement, kinds={ACKNOWLEDGED}):
        if said.status != journal.VOID:
            yield from lineage(c, federation, str(said.statement.body["former"]))
            return


def _change(c: Connection, m: Membership, offered: Offered, formers: set[str]) -> Change | None:
    """Return an agreement as a change of the newest of `formers` that this site consents to."""
    if standing_of(c, m.federation, offered.digest).state is not Consent.PROPOSED:
        return None
    before = [
        one
        for one in terms.every(c, m.federation)
        if one.digest in formers and said_of(c, m.federation, one.digest).at(m.now()) in CARRIED
    ]
    if not before:
        return None
    former, new = parse(before[-1].document), parse(offered.document)
    klass = class_between(former, new)
    if klass is Klass.MATERIAL:
        return None
    return Change(former, new, klass, due_at(former, klass, offered.received_at))


def _was_refused(c: Connection, m: Membership, offered: Offered) -> bool:
    """Tell whether the ledger took no acknowledgement: only an officer can answer then."""
    said = journal.of_agreement(c, m.federation, offered.digest, kinds={ACKNOWLEDGED})
    return any(one.status == journal.VOID and one.rule not in _AGAIN for one in said)
