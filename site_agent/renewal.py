"""The next TLS certificate: asked for over the session when two thirds of this one are over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from governance.identity import folder
from governance.identity.certificate import renewal_due
from governance.statements import parse_time, timestamp
from site_agent.store import letters, notes
from site_agent.store.notes import CERTIFICATE, RENEWAL

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.identity.folder import Identity
    from site_agent.membership import Membership

ASK_AGAIN: Final = timedelta(days=1)
LONGEST_WAIT_S: Final = 3600.0
SHORTEST_WAIT_S: Final = 1.0


def is_to_be_asked(identity: Identity, *, asked: str, now: datetime) -> bool:
    """Tell whether a certificate is due and nobody was asked for it within a day."""
    if not renewal_due(identity.peer, now):
        return False
    return not asked or now - parse_time(asked) > ASK_AGAIN


def wait_s(identity: Identity, *, now: datetime) -> float:
    """Return after how many seconds to look again."""
    peer = identity.peer
    due = peer.not_after - (peer.not_after - peer.not_before) / 3
    left = (due - now).total_seconds()
    return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, left)) if left > 0 else LONGEST_WAIT_S


def ask(c: Connection, m: Membership, identity: Identity) -> None:
    """Make the next key beside the present one, and queue the request for its certificate."""
    request = folder.begin_renewal(identity, [m.voice.key])
    letters.send(c, m.federation, request, rule="certificate-renewal")
    notes.set_note(c, m.federation, RENEWAL, timestamp(m.now()))


def settled(c: Connection, m: Membership, chain: str) -> None:
    """Forget a certificate that is in its place, or that was refused."""
    notes.clear_note(c, m.federation, CERTIFICATE, chain)
    notes.set_note(c, m.federation, RENEWAL, "")
