"""What an operator must look at, though no round says so: a sentence each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from coordinator.store import record, roundbook
from governance.counts import count, verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation

_FREE_AT_LEAST: Final = 0.10
_UNWITNESSED_ROUNDS: Final = 2
_ALARM: Final = "integrity-alarm"


def alarms(base: Foundation, connection: Connection) -> tuple[str, ...]:
    """Return what to look at now, the gravest first."""
    return (
        *_split_views(connection),
        *_unwitnessed(connection),
        *_disk(base),
        *_authority(base),
    )


def _split_views(connection: Connection) -> Iterator[str]:
    """Say which sites refuse because their copy of the log and this one differ."""
    running = roundbook.running(connection)
    if running is None:
        refused = record.last_out(connection)
    else:
        refused = {site: asked.reason for site, asked in running.training.items()}
    for site, reason in sorted(refused.items()):
        if reason == _ALARM:
            yield (
                f"{site}'s copy of the log and this one differ: stop, restore nothing, and "
                "compare both with concilium-ledger verify"
            )


def _unwitnessed(connection: Connection) -> Iterator[str]:
    """Say of a round that closed some time ago that most hospitals have not cosigned it."""
    closed = record.closed_before(connection, _UNWITNESSED_ROUNDS)
    if closed is None:
        return
    round_, seq, sites = closed
    cosigned = sum(record.cosigned_size(connection, site) > seq for site in sites)
    if 2 * cosigned <= len(sites):
        yield (
            f"round {round_} is not final: {cosigned} of its {count(len(sites), 'hospital')} "
            f"{verb(cosigned, 'has', 'have')} cosigned a checkpoint that covers it"
        )


def _disk(base: Foundation) -> Iterator[str]:
    usage = shutil.disk_usage(base.folder)
    if usage.free < _FREE_AT_LEAST * usage.total:
        yield f"the disk of {base.folder} has {usage.free / usage.total:.0%} free"


def _authority(base: Foundation) -> Iterator[str]:
    if base.authority.issuing_due(base.now()):
        end = base.authority.issuing.not_valid_after_utc
        yield (
            f"the issuing CA ends on {end:%Y-%m-%d}: bring keys/root.key back, then "
            "concilium-coordinator rotate-key issuing"
        )
