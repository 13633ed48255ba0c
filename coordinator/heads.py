"""Checkpoints: the log's head, signed, and sent to every hospital to be witnessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.store import outbox, record
from governance.ledger import store as ledger
from protos.words import CheckpointSent, SiteName

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.foundation import Foundation


def publish(base: Foundation, connection: Connection) -> None:
    """Sign the head of the log, and send it to every enrolled site with a consistency proof."""
    predecessor = ledger.latest_checkpoint(connection) or ""
    note = ledger.sign_checkpoint(connection, base.chronicle.key, base.chronicle.log.origin)
    size = ledger.head(connection).size
    barred = record.revoked(connection)
    for site in record.officer_keys(connection):
        if site in barred:
            continue
        since = record.cosigned_size(connection, site)
        proof = tuple(ledger.consistency(connection, since, size)) if since else ()
        outbox.send(connection, SiteName(site), CheckpointSent(note, since, proof, predecessor))
