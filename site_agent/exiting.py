"""Leaving the federation: the officer's request, what it means, and that it counts at once.

The request counts at this site from its signature on, whether the coordinator can be reached or
not; it is delivered when it can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import statements
from governance.agreement.load import parse
from governance.agreement.plan import plan
from governance.consent import ENDED
from governance.counts import count
from governance.exits import touched
from governance.ledger.project_exits import OWN_WISH, committed
from protos.errors import Refused
from site_agent import custody, office, progress, voice
from site_agent.standing import has_left, standing_of
from site_agent.store import terms, work
from site_agent.store.copy import Copy
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from governance.statements import Statement
    from site_agent.drafts import Draft
    from site_agent.membership import Membership


def draft(c: Connection, m: Membership) -> Draft:
    """Compose the request to leave, for an officer to sign.

    Raises:
        Refused: this site has asked for it already.
    """
    if has_left(c, m.federation):
        raise Refused(
            f"{m.site} has asked to leave {m.federation} already",
            todo="See how far it is: concilium-site status; its certificate comes to lie in "
            "state/exits/.",
            rule="leaving",
        )
    body = {"site": m.site, "scope": "federation", "cause": OWN_WISH}
    shown = f"{m.site} leaves the federation {m.federation}, of its own wish.\n"
    return office.compose(c, m, "exit-requested", body, (), shown)


def deliver(c: Connection, m: Membership, signed: Draft) -> Statement:
    """Take the signed request: cancel every task, forget what none will need, queue it."""
    statement = statements.read(signed.envelope)
    office.check_signed(c, m, statement, signed.disclosures)
    for held in work.active(c, m.federation):
        progress.cancel(c, m, held, "no-consent")
    custody.erase(c, m)
    saying = Saying(statement.kind, statement.body, "always-allowed", signed.disclosures)
    voice.enqueue(c, m.federation, statement, saying)
    return statement


def consequences(m: Membership) -> list[str]:
    """Say in sentences what leaving means now."""
    return list(_said(m))


def _said(m: Membership) -> Iterator[str]:
    yield f"{m.site} takes no further task of {m.federation}; one at work is cancelled."
    for document in m.store.look(lambda c: _agreements(c, m)):
        terms_of = parse(document)
        yield f"Its consent to «{terms_of.agreement.title}» ends:"
        for sentence in plan(terms_of).sections.get("exits", ()):
            yield f"  {sentence}"
    yield _inside(m)
    yield "Its certificates and keys are revoked. To come back it enrols anew, with new keys."
    yield "What was spent of its patients' privacy stays spent, and counts if it comes back."
    yield "It keeps a certificate of its exit: the entries, their proofs, a signed head."


def _agreements(c: Connection, m: Membership) -> list[bytes]:
    known = terms.every(c, m.federation)
    return [
        one.document
        for one in known
        if (standing := standing_of(c, m.federation, one.digest)).agreement
        and standing.at(m.now()) not in ENDED
    ]


def _inside(m: Membership) -> str:
    path = m.premises.copy_of(m.federation)
    if not path.exists():
        return "Its copy of the ledger has nothing yet."
    kept = Copy.open(path)
    try:
        rounds = kept.now(lambda c: touched(committed(c), m.site))
    finally:
        kept.close()
    if not rounds:
        return "Its patients are in no model yet."
    return f"Its patients are in the models of {count(len(rounds), 'round')}."
