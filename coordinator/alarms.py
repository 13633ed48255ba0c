"""What an operator must look at, though no round says so: a sentence each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from coordinator.store import attempts, record, roundbook
from governance import statements
from governance.counts import count, verb
from governance.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation

ROTATE: Final = "bring keys/root.key back, then concilium-coordinator rotate-key issuing"
_FREE_AT_LEAST: Final = 0.10
_UNWITNESSED_ROUNDS: Final = 2
_ALARM: Final = "integrity-alarm"


def alarms(base: Foundation, connection: Connection) -> tuple[str, ...]:
    """Return what to look at now, the gravest first."""
    return (
        *(one.what for one in split_views(connection)),
        *_complaints(connection),
        *_without_figures(connection),
        *_unwitnessed(connection),
        *(one.what for one in disk(base.folder, base.settings.spool.folder)),
        *_authority(base),
    )


def split_views(connection: Connection) -> Iterator[Notice]:
    """Yield each site that refuses because its copy of the log and this one differ."""
    running = roundbook.running(connection)
    if running is None:
        refused = record.last_out(connection)
    else:
        refused = {site: asked.reason for site, asked in running.training.items()}
    for site, reason in sorted(refused.items()):
        if reason == _ALARM:
            what = (
                f"{site}'s copy of the log and this one differ: stop, restore nothing, and "
                "compare both with concilium-ledger verify"
            )
            yield Notice("fork", site, what, "concilium-ledger verify --url URL --trust KEYS")


def _without_figures(connection: Connection) -> Iterator[str]:
    """Say that nothing but its numbers' being finite judged the last round's model."""
    for _, round_, envelope in attempts.without_figures(connection):
        reason = statements.read(envelope).body["reason"]
        yield (
            f"the masked sum of round {round_}'s figures came to nothing ({reason}): "
            f"none judged its model; see concilium-ledger masks {round_}"
        )


def _complaints(connection: Connection) -> Iterator[str]:
    """Say who complained, signed, of what this coordinator did in the last masked sum."""
    for site, round_, envelope in attempts.complaints(connection):
        rule = str(statements.read(envelope).body["broken"]).removeprefix("secagg-").upper()
        yield (
            f"{site} complained of round {round_}: the masked sum broke {rule}; "
            f"see concilium-ledger masks {round_}"
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


def disk(state: Path, spool: Path) -> Iterator[Notice]:
    """Yield a disk of the coordinator's that is nearly full."""
    for name, folder in (("state", state), ("spool", spool)):
        if not folder.exists():
            continue  # a spool that holds nothing yet
        usage = shutil.disk_usage(folder)
        if usage.free < _FREE_AT_LEAST * usage.total:
            what = f"the disk of {folder} has {usage.free / usage.total:.0%} free"
            yield Notice("disk-10", name, what, f"Make room where {folder} lies.")
            return


def _authority(base: Foundation) -> Iterator[str]:
    if base.authority.issuing_due(base.now()):
        end = base.authority.issuing.not_valid_after_utc
        yield f"the issuing CA ends on {end:%Y-%m-%d}: {ROTATE}"
