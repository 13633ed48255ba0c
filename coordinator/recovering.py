"""`recover`: a federation from its backup, and from hospitals' copies of what came after it.

The copies' entries are admitted anew, by the numbered checks that every entry passes, up to the
last checkpoint that the log's key signed and a hospital cosigned. An operator signs what was
recovered; then the coordinator's own state is brought in line with what the entries say.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from coordinator import acts, behind, resuming
from coordinator.backing import DATABASE, SETTINGS
from coordinator.copies import extend
from coordinator.foundation import Foundation
from governance import archive, statements
from governance.identity.folder import Identity
from governance.ledger import source
from governance.ledger import store as ledger
from governance.ledger.verify import verify
from protos.errors import Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from coordinator.behind import Behind

_DATABASE_LINE: Final = re.compile(r"^database:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Given:
    """What a recovery is given beside the backup.

    Args:
        copies: Hospitals' copies of the log, or exports of it.
        identities: Who signs; none for the one operator in the backup.
        agreements: The files of agreements that were proposed after the backup.
        checkpoints: Heads of the log that somebody kept.
        new_log: Whether a new log may begin where no copy reaches the last head.
    """

    copies: Sequence[Path] = ()
    identities: Sequence[Path] = ()
    agreements: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    new_log: bool = False


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery came to: entries in the backup and in all, and what is still missing.

    `older` tells whether an older version wrote the backup, so that its database was migrated.
    `lost` says what a new log that was begun declares to be lost.
    """

    backup: int
    size: int
    missing: tuple[str, ...]
    older: bool = False
    lost: str = ""


def recover(
    file: Path,
    folder: Path,
    *,
    passphrase: bytes,
    given: Given,
    now: datetime,
) -> Recovered:
    """Make a new folder of a backup; it is there whole, or not at all.

    Args:
        file: What `backup` wrote.
        folder: Where the federation is to lie: not there yet, or empty.
        passphrase: The backup's.
        given: What comes beside the backup.
        now: The present time.

    Raises:
        Refused: the folder is taken, the passphrase is wrong, a copy is of another federation
            or of another history, no copy reaches the last known head and no new log is
            wanted, or more operators must sign.
        Corrupt: the backup was altered, or what it brings back does not verify.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(
            "there is something here already, and nothing is overwritten",
            where=str(folder),
            todo="Name a new folder with --folder.",
            rule="folder-taken",
        )
    os.umask(0o077)
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = folder.with_name(f".{folder.name}.recovering")
    if half.exists():
        shutil.rmtree(half)
    half.mkdir()
    try:
        _unpack(file, half, passphrase)
        recovered = _recovered(half, given, now)
        half.replace(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return recovered


def _unpack(file: Path, half: Path, passphrase: bytes) -> None:
    by = "concilium-coordinator backup"
    archive.unpack(file, half, passphrase=passphrase, holding=DATABASE, written_by=by)
    (half / DATABASE).chmod(archive.OWNER_ONLY)
    settings = half / SETTINGS
    line = f"database: sqlite:///{DATABASE}"
    text, found = _DATABASE_LINE.subn(line, settings.read_text("utf-8"), count=1)
    settings.write_text(text if found else f"{text}{line}\n", encoding="utf-8")


def _recovered(half: Path, given: Given, now: datetime) -> Recovered:
    base = Foundation.open(half)
    try:
        signers = _signers(half, given.identities)

        def change(connection: Connection) -> Recovered:
            known = ledger.size_of(connection)
            lost = _extended(base, connection, given)
            size = ledger.size_of(connection)
            binding = {} if lost is None else lost.binding
            body = {"backup": known, "size": size, **binding}
            _sign(base, connection, signers, body, now)
            resuming.keep_agreements(connection, given.agreements)
            missing = resuming.bring_in_line(base, connection, now)
            _check(connection)
            older = base.migrated is not None
            told = "" if lost is None else lost.sentence
            return Recovered(known, size, missing, older=older, lost=told)

        return base.store.write_now(change)
    finally:
        base.close_now()


def _extended(base: Foundation, connection: Connection, given: Given) -> Behind | None:
    """Take in what copies bring back; return what they leave behind, once that is wanted."""
    log = base.chronicle.log
    heads = behind.read_heads(given.checkpoints)
    for path in given.copies:
        heads += [(path, head) for head in extend(connection, path, log=log)]
    lost = behind.beyond(connection, heads, log=log)
    behind.check_wanted(lost, new_log_wanted=given.new_log)
    return lost


def _signers(half: Path, identities: Sequence[Path]) -> list[Identity]:
    if identities:
        return [Identity.load(place) for place in identities]
    found = sorted((half / "operators").glob("*/federation.json"))
    if len(found) != 1:
        raise Refused(
            "more than one operator is in the backup, or none",
            todo="Say who acts with --identity DIR.",
            rule="who-acts",
        )
    return [Identity.load(found[0].parent)]


def _sign(
    base: Foundation,
    connection: Connection,
    signers: Sequence[Identity],
    body: Mapping[str, Any],
    now: datetime,
) -> None:
    keys = [signer.signing_key() for signer in signers]
    payload = statements.compose(
        "log-recovered",
        body,
        actor=signers[0].actor,
        key=keys[0].key_id,
        chain=ledger.chain_of(connection, keys[0].key_id),
        log=base.chronicle.log,
        at=now,
    )
    statement = statements.read(statements.sign(payload, keys))
    acts.check_alone(connection, statement)
    ledger.append(connection, statement, received_at=now)


def _check(connection: Connection) -> None:
    verdict = verify(source.Database(connection))
    if not verdict.verified:
        raise Corrupt(
            f"what was recovered does not verify: {verdict.sentence}",
            todo="Nothing was recovered; take an earlier backup, and hospitals' copies.",
            rule="recovery-unverified",
        )
