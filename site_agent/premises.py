"""Where a site's own files lie, and that one agent alone works in them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.identity.key_files import read_private, write_private
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BEFORE: Final = ".before-"
_SECRET_BYTES: Final = 32
_OWNER_ONLY: Final = 0o700


@dataclass(frozen=True, slots=True)
class Premises:
    """The state folder of site.yaml; everything here is for its owner alone."""

    state: Path

    def prepare(self) -> None:
        """Make the folders that are missing, mode 0700."""
        for folder in (self.state, self.work, self.models, self.copies, self.wheels):
            folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        os.close(os.open(self.database, os.O_WRONLY | os.O_CREAT, 0o600))

    @property
    def database(self) -> Path:
        """The site's own store."""
        return self.state / "site.db"

    @property
    def copies(self) -> Path:
        """Copies of the ledgers, one database a federation."""
        return self.state / "ledgers"

    def copy_of(self, federation: str) -> Path:
        """The copy of one federation's ledger."""
        return self.copies / f"{federation}.db"

    def every_copy(self) -> list[Path]:
        """The copies of ledgers that are there, but for those that are kept as evidence."""
        return sorted(p for p in self.copies.glob("*.db") if _BEFORE not in p.name)

    def candidate_of(self, federation: str) -> Path:
        """A new log that waits for the officers' word, beside the copy."""
        return self.copies / f"{federation}.new.db"

    def copy_before(self, federation: str, declared: str) -> Path:
        """The copy of the log before a new one; it is kept for ever."""
        return self.copies / f"{federation}{_BEFORE}{declared[:12]}.db"

    @property
    def work(self) -> Path:
        """Downloads, updates and control variates: what the worker reads and writes."""
        return self.state / "work"

    def work_of(self, federation: str) -> Path:
        """One federation's part of the work folder, made when it is missing."""
        folder = self.work / federation
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        return folder

    def task_folder(self, federation: str, task: str) -> Path:
        """The one folder that a task's worker writes."""
        return self.work_of(federation) / hashlib.sha256(task.encode()).hexdigest()[:16]

    def exit_of(self, federation: str) -> Path:
        """The certificate of this site's exit from a federation."""
        folder = self.state / "exits"
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        return folder / f"{federation}.json"

    @property
    def wheels(self) -> Path:
        """Wheels that were approved here, each named by its digest."""
        return self.state / "wheels"

    @property
    def models(self) -> Path:
        """Final models of agreements that are complete."""
        return self.state / "models"

    @property
    def releases(self) -> Path:
        """Released models that were fetched, a folder each; made when it is missing."""
        folder = self.state / "releases"
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        return folder

    @property
    def pid(self) -> Path:
        """The running agent's process id, locked while it runs."""
        return self.state / "agent.pid"

    def held_out_secret(self) -> bytes:
        """Return the 32 bytes that decide who is held out, making them the first time."""
        path = self.held_out_secret_path
        if not path.exists():
            write_private(path, secrets.token_bytes(_SECRET_BYTES))
        secret = read_private(path)
        if len(secret) != _SECRET_BYTES:
            raise Corrupt(
                f"this file has {len(secret)} bytes, but must have {_SECRET_BYTES}",
                where=str(path),
                todo="Bring back a backup: with another one, held-out patients would train.",
                rule="held-out-secret",
            )
        return secret

    @property
    def held_out_secret_path(self) -> Path:
        """The file of `held_out_secret`."""
        return self.state / "held-out.secret"


@contextmanager
def sole_agent(premises: Premises) -> Iterator[None]:
    """Hold the state folder for this process alone.

    Raises:
        Refused: another agent works in it; names its process id.
    """
    handle = os.open(premises.pid, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise Refused(
                f"an agent works here already, process {holder}",
                where=str(premises.state),
                todo="Stop it first, or leave it running: one serves all federations.",
                rule="agent-running",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
