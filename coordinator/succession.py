"""When a proposed agreement takes force, and what becomes of what it takes the place of.

Material terms need as many consents as the proposal says; until then the agreement before stays
in force. On the same material terms an operational change waits for the notice, an editorial
one for nothing: consents hold on, once each site's own agent has acknowledged the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from coordinator import heads
from coordinator.store import outbox, proposals, record
from governance.agreement.classes import Klass
from governance.agreement.succession import class_between, due_at
from governance.ledger import store as ledger
from protos.words import AgreementState, SiteName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document

_log = structlog.get_logger("conductor")


def settle(base: Foundation, connection: Connection) -> bool:
    """Put a proposed agreement in force once it may be; say whether it was."""
    proposed = record.agreement_proposed(connection)
    if proposed is None:
        return False
    now, former = base.now(), record.agreement_in_force(connection)
    sites = _behind(connection, former, proposed, now)
    if proposed.agreement.valid.until <= now or sites is None:
        return False
    if former is not None:  # first, since two are never in force
        _say(base, connection, "agreement-superseded", former, [])
    _say(base, connection, "agreement-in-force", proposed, sites)
    _lapse_unanswered(base, connection)
    for site in proposed.agreement.sites.roster:
        if former is not None:
            state = AgreementState(former.digest, "superseded")
            outbox.send(connection, SiteName(site), state)
        outbox.send(connection, SiteName(site), AgreementState(proposed.digest, "in-force"))
    heads.publish(base, connection)
    _log.info("agreement-in-force", agreement=proposed.digest[:12], at=base.timestamp(now))
    return True


def change_due_at(connection: Connection) -> datetime | None:
    """Return when the proposal takes force by time alone; None where it asks for consents."""
    proposed, former = (
        record.agreement_proposed(connection),
        record.agreement_in_force(connection),
    )
    if proposed is None or former is None:
        return None
    klass = class_between(former, proposed)
    if klass is Klass.MATERIAL:
        return None
    return due_at(former, klass, proposals.proposed_at(connection, proposed.digest))


def words(connection: Connection) -> str:
    """Say when the proposed change takes force, where it does so by time alone."""
    due = change_due_at(connection)
    proposed = record.agreement_proposed(connection)
    if due is None or proposed is None:
        return ""
    title = proposed.agreement.title
    return f"the change «{title}» takes force on {due:%Y-%m-%d %H:%M} UTC"


def _behind(
    connection: Connection, former: Document | None, proposed: Document, now: datetime
) -> list[str] | None:
    """Return the sites whose consents the proposal rests on; None when it may not yet be."""
    due = change_due_at(connection)
    if former is not None and due is not None:
        held = ledger.consents_in_force(connection, proposed.digest, now)
        return sorted(row.site for row in held) if due <= now else None
    members = record.declared_patients(connection, proposed.digest, now)
    enough = len(members) >= proposed.agreement.sites.ready_at_least
    return sorted(members) if enough else None


def _say(
    base: Foundation,
    connection: Connection,
    kind: str,
    document: Document,
    sites: Sequence[str],
) -> None:
    base.chronicle.say(
        connection,
        kind,
        {
            "agreement": document.digest,
            "material": document.material,
            "rests_on": record.seqs_of_consents(connection, document.digest),
            "sites": list(sites),
        },
        now=base.now(),
    )


def _lapse_unanswered(base: Foundation, connection: Connection) -> None:
    """Record that older proposals, which nobody will ask about again, were not answered."""
    for digest in record.agreement_digests(connection, "proposed"):
        document = record.read_document(connection, digest)
        answered = record.consent_states(connection, digest)
        roster = document.agreement.sites.roster if document is not None else {}
        for site in sorted(set(roster) - set(answered)):
            body = {"agreement": digest, "site": site}
            base.chronicle.say(connection, "consent-lapsed", body, now=base.now())
