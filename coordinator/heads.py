"""Checkpoints: the log's head, signed, and sent to every hospital to be witnessed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from coordinator.store import exits, holders, outbox, record
from governance.ledger import checkpoint, note
from governance.ledger import store as ledger
from governance.statements import parse_time
from protos.words import CheckpointSent, SiteName

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation


FRESH: Final = timedelta(minutes=10)
"""A round that opens longer after the last head begins with a new one: sites take no task
under one that the majority has not seen for `witness_lag`."""


def freshen(base: Foundation, connection: Connection, now: datetime) -> None:
    """Publish the head before a round opens, if the last one may be too old for a site."""
    latest = ledger.latest_checkpoint(connection)
    if latest is not None:
        size = checkpoint.parse_body(note.parse(latest).text).size
        (newest,) = ledger.entries(connection, size - 1, size)
        if now - parse_time(newest.received_at) <= FRESH:
            return
    publish(base, connection)


def publish(base: Foundation, connection: Connection) -> None:
    """Sign the head of the log, and send it to every site with a consistency proof.

    A site that left is sent it until it has seen the end of its exit.
    """
    predecessor = ledger.latest_checkpoint(connection) or ""
    head = ledger.sign_checkpoint(connection, base.chronicle.key, base.chronicle.log.origin)
    size = ledger.head(connection).size
    barred = holders.revoked(connection)
    members = holders.officer_keys(connection).keys() - barred
    for site in sorted(members | exits.lingering(connection, base.now()).keys()):
        since = record.cosigned_size(connection, site)
        proof = tuple(ledger.consistency(connection, since, size)) if since else ()
        outbox.send(connection, SiteName(site), CheckpointSent(head, since, proof, predecessor))
