"""The agent's last work for a federation that its hospital leaves: to keep the proof of it.

It follows the log until its exit is closed there and under a head that it cosigned, or until
the coordinator lets it in no more; then it keeps the certificate and ends.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from governance.identity.key_files import replace_public
from governance.ledger import exit_certificate
from site_agent.standing import has_left
from site_agent.store import letters, notes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from site_agent.bell import Rings
    from site_agent.membership import Membership
    from site_agent.session import Presence
    from site_agent.store.copy import Copy

_log = structlog.get_logger("agent")
_OUT: Final = ("left:", "revoked:")


class Left(Exception):
    """This site has left the federation: nothing is to be done for it any more."""


async def seen_through(m: Membership, kept: Copy, presence: Presence, bell: Rings) -> None:
    """Wait until this site has left, and keep its certificate; return only by raising.

    Raises:
        Left: it has.
    """
    while True:
        heard = bell.count
        if await m.store.ask(partial(has_left, federation=m.federation)):
            out = presence.last_fault.startswith(_OUT)
            whole = await kept.do(partial(exit_certificate.is_whole, site=m.site))
            waiting = await m.store.ask(partial(_unsent, m=m))
            if out or (whole and not waiting):
                await _keep(m, kept)
                raise Left
            await bell.within(heard, 1.0)
            continue
        await bell.after(heard)


async def _keep(m: Membership, kept: Copy) -> None:
    raw = await kept.do(partial(exit_certificate.made, site=m.site))
    if raw is not None:
        replace_public(m.premises.exit_of(m.federation), raw)
    said = partial(notes.set_note, federation=m.federation, name=notes.LEFT, value="yes")
    await m.store.do(said)
    _log.info("left", federation=m.federation, certificate=raw is not None)


def _unsent(c: Connection, m: Membership) -> bool:
    return bool(letters.unsent(c, m.federation, after=0, most=1))
