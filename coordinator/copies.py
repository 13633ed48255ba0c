"""What hospitals' copies of the log bring back of it: entries that one of them has cosigned."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from governance import statements
from governance.ledger import checkpoint, new_log, note, rebuild, source
from governance.ledger import store as ledger
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.source import HeldCheckpoint, Source
    from governance.statements import Log


def extend(connection: Connection, path: Path, *, log: Log) -> list[HeldCheckpoint]:
    """Take from a copy what the log lacks, up to the copy's last cosigned checkpoint.

    Returns the heads that the log's key signed and the copy's own entries do not reach: it was
    cut off, and they show by how much.

    1. It is of this federation. Stops a record of another one from being taken in.
    2. What is here is the same there. Stops a second history from being joined to the first.
    3. Each entry is admitted anew. Stops what a hospital may have written into its own copy.
    4. The log's key signed the checkpoint over them, and a hospital's agent key cosigned it.
       Stops entries that the log never had.

    Raises:
        Refused: naming what does not hold; nothing of the copy is kept then.
    """
    if path.is_dir():
        return _taken(connection, source.Export(path), path, log)
    engine = source.open_database(str(path), whole=False)
    try:
        with engine.connect() as copy, copy.begin():
            return _taken(connection, source.Database(copy), path, log)
    finally:
        engine.dispose()


def _taken(connection: Connection, copy: Source, path: Path, log: Log) -> list[HeldCheckpoint]:
    first = next(iter(copy.entries()), None)
    # 1.
    if first is None or statements.read(first.envelope).log != log:
        raise Refused(
            f"this copy is not of the log of {log.federation} that the backup is of",
            where=str(path),
            todo="Name a hospital's state/ledgers/FEDERATION.db of this federation.",
            rule="copy-of-another",
        )
    known = ledger.size_of(connection)
    try:
        cosigned = sorted(
            ((_size(head), head) for head in copy.checkpoints() if head.lines),
            key=lambda sized: sized[0],
        )
        reached = copy.size()
        newer = [(size, head) for size, head in cosigned if known < size <= reached]
        until = newer[-1][0] if newer else known
        # 2. and 3.
        with closing(rebuild.records(copy, until=until)) as records:
            ledger.append_mirrored(connection, records)
        # 4.
        seen = [_cosigners(connection, head) for _, head in newer]
    except (Refused, PeerFault) as broken:
        raise _forked(path, broken.what) from None
    if seen and not seen[-1]:
        raise _forked(path, f"no hospital's key cosigned its head of {until} entries")
    own = [ledger.ledger_key(connection)]
    cut = (head for size, head in cosigned if size > reached)
    return [head for head in cut if new_log.is_head_of(head.note, log.origin, own)]


def _size(head: HeldCheckpoint) -> int:
    return checkpoint.parse_body(note.parse(head.note).text).size


def _cosigners(connection: Connection, head: HeldCheckpoint) -> int:
    """Keep a checkpoint, and the cosignatures that are good; return how many are.

    One by an agent key that was replaced since is left out.
    """
    size = ledger.add_checkpoint(connection, head.note).size
    for site, line in head.lines:
        with suppress(Refused, PeerFault):
            ledger.add_cosignature(connection, size, line, site)
    return len(ledger.cosigners(connection, size))


def _forked(path: Path, why: str) -> Refused:
    return Refused(
        f"this copy and the backup are not of one history: {why}",
        where=str(path),
        todo="Take another hospital's copy; keep both for `concilium-ledger verify`.",
        rule="copy-forked",
    )
