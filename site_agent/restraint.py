"""How many tasks a coordinator may have refused in an hour before this site hears no more.

Each refusal is signed, journalled, listed among what was sent, and kept for ever. A coordinator
that acknowledges whatever it is told could fill the hospital's disk with them. Past the limit a
task is dropped unanswered, and the session ends: it is dialled again as after any failure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from protos.errors import PeerFault
from site_agent.store import egress, journal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from site_agent.membership import Membership

REFUSALS: Final = 200
"""In `WITHIN`, of one federation."""
_RULE: Final = "task-refused"
WITHIN: Final = timedelta(hours=1)


def check(c: Connection, m: Membership) -> None:
    """Raise PeerFault where so many tasks were refused lately that no more are heard."""
    federation = m.federation
    signed = journal.newest_of_kind(c, federation, _RULE, place=REFUSALS)
    sent = egress.newest_of(c, federation, "task-answer", _RULE, place=REFUSALS)
    nth = max((at for at in (signed, sent) if at is not None), default=None)
    if nth is not None and nth > m.now() - WITHIN:
        raise PeerFault(
            f"this site refused {REFUSALS} tasks within an hour, and takes no more before "
            f"{nth + WITHIN:%Y-%m-%d %H:%M} UTC",
            todo="The coordinator's operator sees in its log why it sends tasks without end.",
            rule="too-many-refusals",
        )
