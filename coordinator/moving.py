"""`move`: a federation's state and history go to another database while nobody serves it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from coordinator.foundation import Hold
from coordinator.store import moving, upgrading
from governance.ledger import source
from governance.settings import database_url, load_coordinator

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from coordinator.store.moving import Moved


def move(folder: Path, to: str, *, at: datetime) -> Moved:
    """Move a folder's federation to the database that `to` would mean in its coordinator.yaml.

    Raises:
        Refused: there is no federation yet, a coordinator runs, it was moved before, the other
            database is no empty one, or is the same.
        Corrupt: what arrived does not verify; nothing was moved.
        Unavailable: one of the databases cannot be used.
    """
    settings = load_coordinator(folder / "coordinator.yaml")
    url = database_url(to, folder)
    if url == settings.database:
        raise moving.refused("that is the database it lies in", "Name another with --to.")
    source.open_database(settings.database, whole=False).dispose()
    held = Hold(folder / "state" / "coordinator.pid")
    try:
        migrated = upgrading.bring_up(settings.database, folder, at=at)
        return replace(moving.move(settings.database, url), migrated=migrated)
    finally:
        held.release()
