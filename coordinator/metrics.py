"""The coordinator's figures for Prometheus."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from coordinator import noticing
from coordinator.store import holders, pausing, record, roundbook
from governance import exposition
from governance.exposition import Figure
from governance.ledger import store as ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation


async def figures(base: Foundation) -> tuple[Figure, ...]:
    """Return every figure as it is now."""
    return await base.store.read(lambda c: tuple(_figures(base, c)))


def _figures(base: Foundation, connection: Connection) -> Iterator[Figure]:
    yield from _sites(base, connection)
    yield from _rounds(connection)
    yield Figure(
        "counter",
        "concilium_ledger_entries",
        "Entries of the ledger.",
        (),
        {(): ledger.head(connection).size},
    )
    yield Figure(
        "gauge",
        "concilium_disk_free_bytes",
        "Free bytes where the coordinator's folder lies.",
        (),
        {(): shutil.disk_usage(base.folder).free},
    )
    ends: dict[tuple[str, ...], float] = {}
    for name, at in noticing.ends(base, connection).items():
        ends[(name,)] = at.timestamp()
    yield Figure(
        "gauge",
        "concilium_certificate_expiry_timestamp_seconds",
        "When a certificate ends.",
        ("name",),
        ends,
    )
    yield exposition.of_notices(noticing.standing(base, connection))


def _sites(base: Foundation, connection: Connection) -> Iterator[Figure]:
    here = base.sessions.connected
    values: dict[tuple[str, ...], float] = {}
    for name in holders.sites(connection):
        values[(name,)] = name in here
    yield Figure(
        "gauge",
        "concilium_site_connected",
        "1 while an enrolled site is connected.",
        ("site",),
        values,
    )


def _rounds(connection: Connection) -> Iterator[Figure]:
    yield Figure(
        "counter",
        "concilium_rounds",
        "Attempts of rounds that ended, by how.",
        ("state",),
        {(state,): number for state, number in record.ends_by_state(connection).items()},
    )
    running = roundbook.running(connection)
    if running is not None:
        labels = (running.state,)
        yield Figure(
            "gauge",
            "concilium_round",
            "Number of the round that is open, by its state.",
            ("state",),
            {labels: running.round},
        )
        yield Figure(
            "gauge",
            "concilium_round_deadline_timestamp_seconds",
            "When the open round ends at the latest.",
            (),
            {(): running.deadline.timestamp()},
        )
    yield Figure(
        "gauge",
        "concilium_paused",
        "1 while the federation is paused.",
        (),
        {(): bool(pausing.why(connection))},
    )
