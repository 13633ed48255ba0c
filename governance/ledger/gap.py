"""What a new log lost, in words: for a verdict, and for whoever is asked to accept it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.counts import count
from governance.statements import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from governance.ledger.new_log import NewLog
    from governance.ledger.replay import Begun


def lost(new: NewLog, since: datetime | None) -> str:
    """Say which entries are lost, and of which time."""
    first, last = new.seq, new.last.size - 1
    which = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{which} of the log before ({count(new.lost, 'entry')}, {span(since, new.until)})"


def span(since: datetime | None, until: datetime | None) -> str:
    """Say from when to when something is missing."""
    begins = "its beginning" if since is None else _minute(since)
    ends = "a time that nobody cosigned" if until is None else _minute(until)
    return f"from {begins} to {ends}"


def sentences(begun: Begun) -> list[str]:
    """Say of a new log what it lost, and which sites go on with it."""
    sites = sorted(begun.accepted)
    asked = count(len(begun.sites), "site")
    names = f": {', '.join(sites)}" if sites else ""
    what = f"it lost {lost(begun.new, begun.since)}, as the head that it names shows"
    return [
        f"A new log begins with entry {begun.new.seq}: {what}.",
        f"Accepted by {len(sites)} of {asked}{names}; no other was asked since.",
    ]


def to_json(begun: Begun) -> dict[str, Any]:
    """Return the documented fields of a new log in a verdict."""
    new = begun.new
    return {
        "seq": new.seq,
        "lost": new.lost,
        "last_size": new.last.size,
        "since": None if begun.since is None else timestamp(begun.since),
        "until": None if new.until is None else timestamp(new.until),
        "sites": sorted(begun.sites),
        "accepted": sorted(begun.accepted),
    }


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
