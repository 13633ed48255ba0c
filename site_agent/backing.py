"""`backup`: one sealed file with all that a hospital's agent is, but for its patients.

It holds site.yaml, the store and the copies of ledgers as they are at one moment each, the
secret that decides who is held out, the keys of every enrolment, and the officer's key where it
lies here. An agent may run meanwhile. A backup is old from its first second: a store that is
brought back has to be recovered, so that nothing that was spent since is spent again.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance import archive
from governance.settings import load_site
from governance.statements import timestamp
from protos.errors import Refused
from site_agent.premises import Premises

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from governance.settings import SiteSettings

_SETTINGS: Final = "site.yaml"
_STORE: Final = "state/site.db"
_OFFICER: Final = "officer.pem"
_KEEP: Final = ("held-out.secret", "exits", "models", "wheels")


def backup(site: Path, file: Path, *, passphrase: bytes) -> None:
    """Write a hospital's agent into a new file.

    Raises:
        Refused: the file is there already, or there is no store.
    """
    settings = load_site(site)
    premises = Premises(settings.state)
    if not premises.database.exists():
        raise Refused(
            "there is no store to back up", where=str(premises.state), rule="no-store"
        )
    with (
        archive.written(file, passphrase=passphrase) as add,
        tempfile.TemporaryDirectory(dir=premises.state) as place,
    ):
        for path, name in _contents(site, settings, Path(place)):
            add(path, name)


def _contents(site: Path, settings: SiteSettings, place: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file with its name in the backup; databases as they are now."""
    premises = Premises(settings.state)
    yield site, _SETTINGS
    yield _snapshot(premises.database, place), _STORE
    for copy in premises.every_copy():
        yield _snapshot(copy, place), f"state/ledgers/{copy.name}"
    for name in _KEEP:
        for path in _files(premises.state / name):
            yield path, f"state/{path.relative_to(premises.state)}"
    for number, federation in enumerate(settings.federations):
        for path in _files(federation.folder):
            yield path, f"enrolled/{number}/{path.relative_to(federation.folder)}"
    if settings.officer_key is not None and settings.officer_key.exists():
        yield settings.officer_key, _OFFICER


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for inner in sorted(path.rglob("*")) if path.is_dir() else ():
        if inner.is_file() and not inner.name.startswith("."):
            yield inner


def _snapshot(database: Path, place: Path) -> Path:
    """Copy a database as it is at this moment, beside whoever writes into it."""
    copied = place / database.name
    source = f"file:{database}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True)) as c,
        closing(sqlite3.connect(copied)) as to,
    ):
        c.backup(to)
    return copied


def bring_back(site: Path, file: Path, *, passphrase: bytes, now: datetime) -> list[Path]:
    """Put a backup's store in place of the present one; return the folders that were kept.

    What is there now is moved aside, never deleted. Keys that are there stay: they may be newer
    than the backup.

    Raises:
        Refused: it is no backup of a hospital, or the passphrase is another.
        Corrupt: it was altered.
    """
    settings = load_site(site)
    state = settings.state
    state.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state.parent) as name:
        half = Path(name)
        _unpack(file, half, passphrase)
        kept = _set_aside(state, now)
        shutil.move(half / "state", state)
        for number, federation in enumerate(settings.federations):
            brought = half / "enrolled" / str(number)
            if brought.exists() and not federation.folder.exists():
                federation.folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(brought, federation.folder)
        officer = half / _OFFICER
        place = settings.officer_key
        if officer.exists() and place is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(officer, place)
    return kept


def _set_aside(state: Path, now: datetime) -> list[Path]:
    if not state.exists():
        return []
    stamp = timestamp(now).replace(":", "").replace("-", "").partition(".")[0]
    aside = state.with_name(f"{state.name}.before-{stamp}")
    state.rename(aside)
    return [aside]


def _unpack(file: Path, half: Path, passphrase: bytes) -> None:
    by = "concilium-site backup"
    archive.unpack(file, half, passphrase=passphrase, holding=_STORE, written_by=by)
    for path in [half / "state", *(half / "state").rglob("*")]:
        path.chmod(0o700 if path.is_dir() else archive.OWNER_ONLY)
