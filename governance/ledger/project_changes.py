"""A change on the same material terms: the consent before holds on, for the new text too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Executable, Row, insert, select, update

from governance import consent
from governance.consent import CARRIED, Consent, Event
from governance.ledger import project_consents
from governance.ledger.schema import consents
from governance.statements import parse_time
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry


def change_acknowledged(c: Connection, e: Entry) -> list[Executable]:
    """Carry a site's consent, as it stands, over to the agreement that superseded its own.

    1. The new agreement is in force and superseded the former. Stops a proposal, or what came
       after an agreement's end, from being worked under without a signature.
    2. The material terms are the same. Stops a consent from holding for what nobody signed.
    3. The site has not answered the new one. Stops its own word from being put aside.
    4. The former consent goes on. Stops one that was withdrawn or left behind from returning.
    """
    body, site = e.body, e.actor_name
    new = project_consents.agreement(c, body["agreement"])
    former = project_consents.agreement(c, body["former"])
    # 1.
    if (new.state, former.state) != ("in-force", "superseded"):
        raise Refused(
            f"the agreement is {new.state}, and the one before is {former.state}",
            rule="agreement-state",
        )
    # 2.
    if not new.material == former.material == body["material"]:
        raise Refused("the change is material: it needs a consent", rule="material-differs")
    # 3.
    if _held(c, site, new.digest) is not None:
        raise Refused(f"{site} answered this agreement before", rule="answered-before")
    # 4.
    held = _held(c, site, former.digest)
    state = None if held is None else Consent(held.state)
    if held is not None and held.until and state is not None:
        state = consent.at(state, parse_time(held.until), e.received_at)
    if held is None or state not in CARRIED:
        raise Refused(f"no consent of {site} goes on", rule="no-consent")
    carried = {**held._mapping, "agreement": new.digest}  # noqa: SLF001 - SQLAlchemy's own name
    carried |= {"given_seq": e.seq, "changed_seq": e.seq}
    ended = consent.advance(Consent(held.state), Event.OWN_NEW_CONSENT)
    mine = (consents.c.site == site, consents.c.agreement == former.digest)
    return [
        insert(consents).values(**carried),
        update(consents).where(*mine).values(state=ended.value, changed_seq=e.seq),
    ]


def _held(c: Connection, site: str, agreement: str) -> Row[Any] | None:
    return c.execute(
        select(consents).where(consents.c.site == site, consents.c.agreement == agreement)
    ).first()
