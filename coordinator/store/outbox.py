"""Numbered messages to the sites: kept until acknowledged, replayed in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, func, insert, select, update

from coordinator.store.schema import notes, outbox, peers
from governance.ledger.prepared import Prepared
from protos import codec
from protos.errors import PeerFault
from protos.words import SiteName, ToSite

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import ToSiteBody

WAITING: Final = 10_000
"""Messages to one site that may wait for its acknowledgement while it says more."""
_MAIL: Final = "mail"
_HELLO: Final = "renumber/"
_FIRST: Final = "first-again/"
_HERE: Final = peers.c.site == bindparam("this_site")
_PEER: Final = Prepared(select(peers.c.sent, peers.c.taken).where(_HERE))
_MEET: Final = Prepared(insert(peers), ("site", "sent", "taken"))
_SENT: Final = Prepared(update(peers).where(_HERE), ("sent",))
_TAKEN: Final = Prepared(update(peers).where(_HERE), ("taken",))
_PUT: Final = Prepared(insert(outbox), ("site", "seq", "message"))
_ABOVE: Final = Prepared(
    select(outbox.c.seq, outbox.c.message)
    .where(outbox.c.site == bindparam("this_site"), outbox.c.seq > bindparam("after"))
    .order_by(outbox.c.seq)
)
_WAITING: Final = Prepared(
    select(func.count().label("waiting")).where(outbox.c.site == bindparam("this_site"))
)
_DROP: Final = Prepared(
    delete(outbox).where(
        outbox.c.site == bindparam("this_site"), outbox.c.seq <= bindparam("upto")
    )
)
_NOTED: Final = Prepared(select(notes.c.name).where(notes.c.name == bindparam("this")))
"""Made once, as every message asks and writes them."""


def send(connection: Connection, site: SiteName, body: ToSiteBody) -> int:
    """Put a numbered message into a site's outbox; it is replayed until acknowledged."""
    known = _PEER.first(connection, this_site=site)
    if known is None:
        _MEET.write(connection, {"site": site, "sent": 0, "taken": 0})
    seq = 1 if known is None else int(known.sent) + 1
    _SENT.write(connection, {"this_site": site, "sent": seq})
    message = codec.to_site_bytes(ToSite(body, seq=seq))
    _PUT.write(connection, {"site": site, "seq": seq, "message": message})
    connection.info.setdefault(_MAIL, set()).add(site)
    return seq


def mailed(connection: Connection) -> frozenset[SiteName]:
    """Return the sites that were sent something since this was last asked."""
    return frozenset(connection.info.pop(_MAIL, ()))


def unsent(connection: Connection, site: SiteName, after: int) -> list[tuple[int, bytes]]:
    """Return a site's numbered messages above `after`, in order."""
    rows = _ABOVE.all(connection, this_site=site, after=after)
    return [(row.seq, row.message) for row in rows]


def acknowledged(connection: Connection, site: SiteName, seq: int) -> None:
    """Forget what a site has durably taken."""
    _DROP.write(connection, {"this_site": site, "upto": seq})


def check_heard(connection: Connection, site: SiteName) -> None:
    """Raise PeerFault for a site that acknowledges nothing of what it is told.

    Each of its messages may bring it another. A site that was away for years is far below.
    """
    count = _WAITING.first(connection, this_site=site).waiting
    if count >= WAITING:
        raise PeerFault(
            f"{site} says more, but {count} messages to it are not acknowledged",
            rule="not-acknowledged",
        )


def begin_anew(connection: Connection, site: SiteName) -> None:
    """Forget what was said to and by a site that left: who takes its name counts from one."""
    connection.execute(delete(outbox).where(outbox.c.site == site))
    connection.execute(delete(peers).where(peers.c.site == site))


def taken(connection: Connection, site: SiteName) -> int:
    """Return the last numbered message of a site that is durably taken."""
    known = _PEER.first(connection, this_site=site)
    return 0 if known is None else int(known.taken)


def take(connection: Connection, site: SiteName, seq: int) -> None:
    """Note that a site's message is taken, in the transaction of what it changed."""
    if _PEER.first(connection, this_site=site) is None:
        _MEET.write(connection, {"site": site, "sent": 0, "taken": seq})
    else:
        _TAKEN.write(connection, {"this_site": site, "taken": seq})


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
    name = f"{what}{site}"
    if _NOTED.first(connection, this=name) is None:
        return False
    connection.execute(delete(notes).where(notes.c.name == name))
    return True
