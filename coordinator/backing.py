"""`backup`: one sealed file with all that a federation's coordinator is.

It holds keys, settings, operators' folders, models and strategy states, and the database at one
moment as an SQLite file, whichever engine it lies in. Updates that wait to be summed are not in
it. A coordinator may run meanwhile: the database is read first, in one transaction, and what it
names lies on the disk before it does.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.store import moving
from governance.ledger import source
from governance.sealing import Sealing
from governance.settings import load_coordinator
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS: Final = "coordinator.yaml"
DATABASE: Final = "state/coordinator.db"
_FOLDERS: Final = ("keys", "operators", "state/models")
_OWNER_ONLY: Final = 0o600


def backup(folder: Path, file: Path, *, passphrase: bytes) -> int:
    """Write a folder's federation into a new file; return how many entries its ledger has.

    Raises:
        Refused: there is no federation, it was moved away, or the file is there already.
        Unavailable: its database cannot be read.
    """
    settings = load_coordinator(folder / SETTINGS)
    source.open_database(settings.database, whole=False).dispose()
    if file.exists():
        raise Refused(
            "this file is there already, and a backup is never overwritten",
            where=str(file),
            todo="Name another file.",
            rule="backup-exists",
        )
    half = file.with_name(f".{file.name}.partial")
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(dir=folder / "state"))
        snapshot = Path(place) / "snapshot.db"
        size = moving.snapshot(settings.database, f"sqlite:///{snapshot}")
        stack.callback(half.unlink, missing_ok=True)
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as out:
            sealing = Sealing(out, passphrase)
            with tarfile.open(fileobj=sealing, mode="w|") as tar:  # type: ignore[call-overload]
                tar.add(folder / SETTINGS, SETTINGS)
                tar.add(snapshot, DATABASE)
                for path in _files(folder):
                    tar.add(path, str(path.relative_to(folder)), recursive=False)
            sealing.finish()
            out.flush()
            os.fsync(out.fileno())
        half.replace(file)
    return size


def _files(folder: Path) -> Iterator[Path]:
    """Yield what lies in the folders, but for files that are half written."""
    for name in _FOLDERS:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path
