"""Numbered messages to the sites: kept until acknowledged, replayed in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from coordinator.store.schema import notes, outbox, peers
from protos import codec
from protos.words import SiteName, ToSite

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import ToSiteBody

_MAIL: Final = "mail"
_HELLO: Final = "renumber/"
_FIRST: Final = "first-again/"


def send(connection: Connection, site: SiteName, body: ToSiteBody) -> int:
    """Put a numbered message into a site's outbox; it is replayed until acknowledged."""
    sent = connection.execute(select(peers.c.sent).where(peers.c.site == site)).scalar()
    if sent is None:
        connection.execute(insert(peers).values(site=site, sent=0, taken=0))
        sent = 0
    seq = int(sent) + 1
    connection.execute(update(peers).where(peers.c.site == site).values(sent=seq))
    message = codec.to_site_bytes(ToSite(body, seq=seq))
    connection.execute(insert(outbox).values(site=site, seq=seq, message=message))
    connection.info.setdefault(_MAIL, set()).add(site)
    return seq


def mailed(connection: Connection) -> frozenset[SiteName]:
    """Return the sites that were sent something since this was last asked."""
    return frozenset(connection.info.pop(_MAIL, ()))


def unsent(connection: Connection, site: SiteName, after: int) -> list[tuple[int, bytes]]:
    """Return a site's numbered messages above `after`, in order."""
    rows = connection.execute(
        select(outbox.c.seq, outbox.c.message)
        .where(outbox.c.site == site, outbox.c.seq > after)
        .order_by(outbox.c.seq)
    )
    return [(row.seq, row.message) for row in rows]


def acknowledged(connection: Connection, site: SiteName, seq: int) -> None:
    """Forget what a site has durably taken."""
    connection.execute(delete(outbox).where(outbox.c.site == site, outbox.c.seq <= seq))


def begin_anew(connection: Connection, site: SiteName) -> None:
    """Forget what was said to and by a site that left: who takes its name counts from one."""
    connection.execute(delete(outbox).where(outbox.c.site == site))
    connection.execute(delete(peers).where(peers.c.site == site))


def taken(connection: Connection, site: SiteName) -> int:
    """Return the last numbered message of a site that is durably taken."""
    value = connection.execute(select(peers.c.taken).where(peers.c.site == site)).scalar()
    return int(value or 0)


def take(connection: Connection, site: SiteName, seq: int) -> None:
    """Note that a site's message is taken, in the transaction of what it changed."""
    known = connection.execute(select(peers.c.site).where(peers.c.site == site)).scalar()
    if known is None:
        connection.execute(insert(peers).values(site=site, sent=0, taken=seq))
    else:
        connection.execute(update(peers).where(peers.c.site == site).values(taken=seq))


def part(connection: Connection, site: SiteName) -> None:
    """Forget what was said to a site, since the numbers of a backup are of the past.

    At its next hello and with its next message the numbers are what the site says they are.
    """
    connection.execute(delete(outbox).where(outbox.c.site == site))
    _note(connection, _HELLO, site)
    _note(connection, _FIRST, site)


def meet_again(connection: Connection, site: SiteName, ack: int) -> None:
    """Number what is to be said from what a site has taken on, once after a recovery."""
    if not _noted(connection, _HELLO, site):
        return
    words = [codec.to_site_parse(message) for _, message in unsent(connection, site, 0)]
    connection.execute(delete(outbox).where(outbox.c.site == site))
    connection.execute(update(peers).where(peers.c.site == site).values(sent=ack))
    for word in words:
        send(connection, site, word.body)


def is_next(connection: Connection, site: SiteName, seq: int) -> bool:
    """Tell whether a site's message is the next one; after a recovery, the first one is."""
    is_first = _noted(connection, _FIRST, site)
    return is_first or seq == taken(connection, site) + 1


def _note(connection: Connection, what: str, site: SiteName) -> None:
    connection.execute(delete(notes).where(notes.c.name == f"{what}{site}"))
    connection.execute(insert(notes).values(name=f"{what}{site}", value="yes"))


def _noted(connection: Connection, what: str, site: SiteName) -> bool:
    """Tell whether something is still to be done once for a site, and forget it."""
    gone = connection.execute(delete(notes).where(notes.c.name == f"{what}{site}"))
    return gone.rowcount > 0
