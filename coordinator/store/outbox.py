"""Numbered messages to the sites: kept until acknowledged, replayed in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from coordinator.store.schema import outbox, peers
from protos import codec
from protos.words import SiteName, ToSite

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import ToSiteBody

_MAIL: Final = "mail"


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
