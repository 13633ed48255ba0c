"""Updates that were in and are spoilt, or gone, on this disk: each is asked for once more.

The ledger has them and their sites still do, so that nobody trains anew and nobody pays. The
round stays where it is; what sums waits for them, as long as a round waits for updates. An
update that is spoilt a second time is one that this disk cannot keep.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from coordinator.round_states import Event
from coordinator.store import kept, masks, outbox, record, roundbook
from coordinator.store.roundbook import ASKED_AGAIN, SENT_AGAIN
from governance.statements import parse_time, timestamp
from governance.tensors import verify
from protos.errors import Corrupt
from protos.words import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from protos.words import Digest, SiteName

_UNTIL: Final = "updates asked for again until"


def spoilt(
    base: Foundation, running: Running, named: Mapping[SiteName, Digest]
) -> frozenset[SiteName]:
    """Return whose updates are not what the ledger names, and delete those; blocks."""
    found = set()
    at = (running.round, running.attempt)
    for site, asked in running.training.items():
        if asked.state != "in" or asked.is_asked_again:
            continue
        try:
            path = base.spool.whole(site, *at)
            verify(path)
        except Corrupt:
            found.add(site)
        else:
            if path.stem != named[site]:
                found.add(site)
    for site in found:
        base.spool.delete(site, *at)
    return frozenset(found)


def ask(base: Foundation, connection: Connection, sites: Iterable[SiteName]) -> Event | None:
    """Ask sites for their updates once more; return INTEGRITY where one was asked before."""
    running = roundbook.running(connection)
    if running is None:
        return None
    for site in sorted(sites):
        asked = running.training[site]
        if asked.state != "in":
            continue  # it withdrew meanwhile
        if asked.reason == SENT_AGAIN:
            return Event.INTEGRITY
        roundbook.mark(connection, asked, "in", ASKED_AGAIN)
        outbox.send(connection, site, _task(connection, running, site))
    document = record.read_document(connection, running.agreement)
    assert document is not None
    until = base.now() + timedelta(seconds=document.agreement.round.deadline)
    kept.set_note(connection, _UNTIL, timestamp(until))
    return None


def are_awaited(running: Running) -> bool:
    """Tell whether an update that counts is not here, and asked for."""
    return any(asked.is_asked_again for asked in running.training.values())


def until(connection: Connection, running: Running) -> datetime | None:
    """Return when waiting for them ends, None where none is waited for."""
    said = kept.note(connection, _UNTIL) if are_awaited(running) else ""
    return parse_time(said) if said else None


def _task(connection: Connection, running: Running, site: SiteName) -> Task:
    """Return the task of a site as it was given; its deadline alone is another."""
    asked, at = running.training[site], (running.round, running.attempt)
    files = (running.model, running.strategy_state)
    return Task(
        asked.task,
        asked.kind,
        *at,
        running.agreement,
        *files,
        running.deadline,
        masks=masks.said_of(connection, at),
    )
