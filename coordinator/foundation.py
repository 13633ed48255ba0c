"""What every part of a running coordinator stands on: its folder, keys, store and clock."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from coordinator.chronicle import Chronicle
from coordinator.pace import Pace
from coordinator.sending import WentDown
from coordinator.sessions import Sessions
from coordinator.spool import Spool
from coordinator.store import exits, holders, kept, upgrading
from coordinator.store.writer import Store
from coordinator.summing import Summing
from governance import statements
from governance.identity.authority import Authority
from governance.identity.certificate import authenticate
from governance.identity.revocation import Revocations
from governance.places import Place
from governance.settings import load_coordinator
from governance.tensors import path_of
from protos.errors import Corrupt, Refused, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from governance.identity.certificate import Peer
    from governance.ledger.migrating import Migrated
    from governance.settings import CoordinatorSettings
    from protos.words import Digest, Disclosure

HEARTBEAT_S: Final = 10.0
LINGERS_S: Final = 600.0
"""How long newcomers are listened to after one enrolled: its answer may have been lost."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Foundation:
    """One coordinator's ground; `revocations` follows the ledger.

    `migrated` says what was done to a database of an older version as it was opened; `at_work`
    is the open round and its attempt, for the log.
    """

    folder: Path
    settings: CoordinatorSettings
    authority: Authority
    chronicle: Chronicle
    store: Store
    spool: Spool
    held: Hold
    sessions: Sessions = field(default_factory=Sessions)
    summing: Summing = field(default_factory=Summing)
    revocations: Revocations = field(default_factory=Revocations)
    pace: Pace = field(default_factory=Pace)
    heartbeat_s: float = HEARTBEAT_S
    lingers_s: float = LINGERS_S
    own_certificate_looked_at: datetime = _NEVER
    opened_at: datetime = field(default_factory=partial(datetime.now, UTC))
    migrated: Migrated | None = None
    at_work: dict[str, int] = field(default_factory=dict)
    down: WentDown = field(default_factory=WentDown)

    @classmethod
    def open(cls, folder: Path) -> Foundation:
        """Open a coordinator's folder as `init` made it.

        Raises:
            Refused: it is not one, a file of it is wrong, or a newer version has used it.
            Unavailable: its database cannot be opened or written.
            Corrupt: its database, or an agreement in it, is not what was written.
        """
        os.umask(0o077)  # names of officers and figures lie in the database
        settings = load_coordinator(folder / "coordinator.yaml")
        authority = Authority.load(folder)
        models = folder / "state" / "models"
        models.mkdir(parents=True, exist_ok=True)
        held = Hold(folder / "state" / "coordinator.pid")
        try:
            migrated = upgrading.bring_up(settings.database, folder, at=datetime.now(UTC))
            store = Store.open(settings.database)
        except (Corrupt, Refused, Unavailable):
            held.release()
            raise
        for half in models.glob(".*.partial"):  # what a sum that was killed has left
            half.unlink()
        chronicle = Chronicle(authority.log, authority.ledger_key(), authority.issuing_key)
        quota = settings.spool.quota_per_site
        base = cls(
            folder=folder,
            settings=settings,
            authority=authority,
            chronicle=chronicle,
            store=store,
            spool=Spool(settings.spool.folder, quota_bytes=quota),
            held=held,
            sessions=Sessions(settings.limits.sessions_per_site),
            migrated=migrated,
        )
        try:
            store.write_now(kept.check_not_moved)
            store.write_now(kept.check_documents)
            base.bar(store.write_now(holders.revoked))
            gone = store.write_now(lambda c: exits.gone(c, base.now()))
            base.bar_serials(frozenset().union(*gone.values()))
            base.bar_serials(store.write_now(holders.serials_before_enrolment))
        except (Corrupt, Refused, Unavailable):
            base.close_now()
            raise
        return base

    def close_now(self) -> None:
        """Close the database and let the folder go, without an event loop."""
        self.store.close_now()
        self.held.release()

    async def close(self) -> None:
        """Finish what is being written, close the database and let the folder go."""
        await self.store.close()
        self.held.release()

    @property
    def federation(self) -> str:
        """The federation's name."""
        return self.chronicle.log.federation

    @property
    def models(self) -> Path:
        """Where models and strategy states lie, by digest."""
        return self.folder / "state" / "models"

    @property
    def addresses(self) -> dict[str, str]:
        """Where newcomers enrol and members dial; enrolment is empty when it is by file."""
        port = Place.of(self.settings.listen).port
        enrolment = self.settings.enrolment.listen if self.settings.enrolment else ""
        host = self.settings.host
        return {
            "coordinator": f"{host}:{port}",
            "enrolment": f"{host}:{Place.of(enrolment).port}" if enrolment else "",
        }

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def timestamp(self, moment: datetime) -> str:
        """Return a time as statements write it."""
        return statements.timestamp(moment)

    def model_path(self, digest: Digest) -> Path:
        """Return where a model or strategy state lies."""
        return path_of(self.models, digest)

    def disclose(self, label: str, value: str) -> Disclosure:
        """Return a value with a fresh salt, to be committed to."""
        return statements.disclose(label, value, salt=secrets.token_bytes(32))

    def identify(self, certificate: bytes) -> Peer:
        """Return who a client certificate names, or raise Refused; asked at every RPC."""
        return authenticate(
            certificate,
            federation=self.federation,
            revocations=self.revocations,
            now=self.now(),
        )

    def bar(self, names: frozenset[str]) -> None:
        """Bar revoked names from now on."""
        for name in names:
            self.revocations = self.revocations.revoke(name, (), ())

    def bar_serials(self, serials: frozenset[str]) -> None:
        """Bar certificates from now on; their holder may enrol anew."""
        known = self.revocations
        self.revocations = replace(known, serials=known.serials | serials)


class Hold:
    """A folder held for this process alone; the lock ends with the process at the latest.

    Raises:
        Refused: another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._handle, 20).decode(errors="replace").strip() or "?"
            self.release()
            raise Refused(
                f"another coordinator (process {holder}) runs on this folder",
                where=str(path.parent.parent),
                todo="Stop it first, or work with it: concilium-coordinator status",
                rule="store-in-use",
            ) from None
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let it go."""
        os.close(self._handle)
