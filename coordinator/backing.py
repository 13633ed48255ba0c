"""`backup`: one sealed file with all that a federation's coordinator is.

It holds keys, settings, operators' folders, models and strategy states, and the database at one
moment as an SQLite file, whichever engine it lies in. Updates that wait to be summed are not in
it. A coordinator may run meanwhile: the database is read first, in one transaction, and what it
names lies on the disk before it does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.store import moving
from governance import archive
from governance.ledger import source
from governance.settings import load_coordinator

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS: Final = "coordinator.yaml"
DATABASE: Final = "state/coordinator.db"
_FOLDERS: Final = ("keys", "operators", "state/models")


def backup(folder: Path, file: Path, *, passphrase: bytes) -> int:
    """Write a folder's federation into a new file; return how many entries its ledger has.

    Raises:
        Refused: there is no federation, it was moved away, or the file is there already.
        Unavailable: its database cannot be read.
    """
    settings = load_coordinator(folder / SETTINGS)
    source.open_database(settings.database, whole=False).dispose()
    with (
        archive.written(file, passphrase=passphrase) as add,
        tempfile.TemporaryDirectory(dir=folder / "state") as place,
    ):
        snapshot = Path(place) / "snapshot.db"
        size = moving.snapshot(settings.database, f"sqlite:///{snapshot}")
        add(folder / SETTINGS, SETTINGS)
        add(snapshot, DATABASE)
        for path in _files(folder):
            add(path, str(path.relative_to(folder)))
    return size


def _files(folder: Path) -> Iterator[Path]:
    """Yield what lies in the folders, but for files that are half written."""
    for name in _FOLDERS:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path
