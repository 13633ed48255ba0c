"""A log kept beside an identity, fetched from the coordinator and checked before it is kept.

    ledger.db            the mirror: entries, heads, what this name may see of disclosures
    two-histories/       the signed notes of a log that was rewritten, once one was

What was seen once binds the coordinator: a head that does not extend the one kept here is
refused, and both notes are kept, since together they convict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from governance.identity.key_files import replace_public
from governance.ledger import checkpoint, founding, merkle, migrating, note, store, tree
from governance.ledger.copying import Copies
from governance.ledger.making import LEDGER
from governance.ledger.opening import in_one_sentence, open_database
from governance.ledger.schema import keys
from governance.ledger.source import Database, split_witnesses
from governance.ledger.verify import verify
from protos.errors import Corrupt, PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.checkpoint import Checkpoint
    from governance.statements import Log
    from protos.words import EntryRecord

FILE: Final = "ledger.db"
EVIDENCE: Final = "two-histories"


class Line(Protocol):
    """Where a log is fetched from; what comes is believed in nothing."""

    def checkpoint(self) -> str:
        """Return the latest checkpoint, a signed note."""
        ...

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of one size extends that of another."""
        ...

    def entries(self, since: int, until: int) -> Iterator[EntryRecord]:
        """Return entries in order."""
        ...


def follow(folder: Path, line: Line, log: Log, *, at: datetime) -> Path:
    """Bring the mirror in a folder up to the log's latest checkpoint; return its file.

    Args:
        folder: An identity's folder.
        line: Where the log is fetched from.
        log: Which one it must be.
        at: The present time.

    Raises:
        Refused: the log was rewritten (`history-rewritten`), is another federation's, or an
            entry breaks a rule; the mirror stays as it was.
        PeerFault: a note, a proof or an entry cannot be what it should be.
        Corrupt: the mirror is not what was fetched (`mirror-altered`).
        Unavailable: the coordinator cannot be reached, or asks for patience.
    """
    path = folder / FILE
    try:
        _bring_up(path, line, log, at=at)
    except (Refused, PeerFault, DBAPIError) as problem:
        # What was altered here accuses the coordinator of nothing.
        said = _altered(path)
        if said is None:
            raise
        raise Corrupt(
            f"this mirror is not what was fetched, so it accuses nobody: {said}",
            where=str(path),
            todo="Move it away and ask again: it is fetched anew. Hold the new one against a "
            "checkpoint that you kept: concilium-ledger verify --url FILE --against NOTE",
            rule="mirror-altered",
        ) from problem
    return path


def _altered(path: Path) -> str | None:
    """Say what is wrong with a mirror by itself, None if nothing is."""
    try:
        engine = open_database(str(path))
    except Refused:
        return None
    try:
        with in_one_sentence(str(path)), engine.connect() as c:
            if store.size_of(c) == 0:
                known = c.execute(select(keys.c.key_id).limit(1)).first()
                return None if known is None else "its entries were taken out of it"
            fault = verify(Database(c)).fault
    except (Refused, Corrupt) as problem:
        return problem.what
    finally:
        engine.dispose()
    return None if fault is None else f"entry {fault.seq}: {fault.sentence}"


def _bring_up(path: Path, line: Line, log: Log, *, at: datetime) -> None:
    engine = store.open_engine(f"sqlite:///{path}")
    try:
        with store.in_words("the mirror of the ledger", where=path):
            migrating.bring_up(engine, (LEDGER,), copies=Copies(path), at=at, where=path)
            store.create(engine, where=path)
            with engine.begin() as c:
                _follow(c, line, log, evidence=path.parent / EVIDENCE)
    finally:
        engine.dispose()


def _follow(c: Connection, line: Line, log: Log, *, evidence: Path) -> None:
    """Take what is new in one transaction: all of it, or nothing."""
    shown = line.checkpoint()
    head = checkpoint.parse_body(note.parse(shown).text)
    kept = store.latest_checkpoint(c)
    # 1. It extends the head kept here. Stops a rewritten, shortened or second history.
    if kept is not None and not _extends(c, line, head, kept):
        _keep(c, evidence, kept, shown)
        raise _rewritten(kept, shown, evidence)
    # 2. Each entry is admitted by the rules of admission. Stops what the log let slip in.
    size = store.size_of(c)
    store.append_mirrored(c, _until(line, size, head.size))
    # 3. It is the log that this identity enrolled in. Stops another federation's record.
    if founding.of_log(c).log != log:
        raise Refused(f"this is not the log of {log.federation}", rule="wrong-log")
    # 4. The log's key signed the head, and it is over these entries. Stops entries that no
    #    head covers, and a head that somebody else made.
    store.add_checkpoint(c, shown)
    _cosignatures(c, head, shown)


def _extends(c: Connection, line: Line, head: Checkpoint, kept: str) -> bool:
    old = checkpoint.parse_body(note.parse(kept).text)
    if head.size < old.size:
        return False
    if head.size == old.size:
        return head.root == old.root
    proof = line.consistency(old.size, head.size)
    try:
        merkle.verify_consistency(old.size, head.size, proof, tree.root(c, old.size), head.root)
    except PeerFault:
        return False
    return True


def _until(line: Line, since: int, until: int) -> Iterator[EntryRecord]:
    """Give the entries that the head covers; one that was not asked for ends it."""
    if since < until:
        yield from (record for record in line.entries(since, until) if record.seq < until)


def _cosignatures(c: Connection, head: Checkpoint, shown: str) -> None:
    for site, line in split_witnesses(shown).lines:
        try:
            store.add_cosignature(c, head.size, line, site)
        except (PeerFault, Refused):  # by a key that ended since, or by nobody: it counts not
            continue


def _keep(c: Connection, evidence: Path, kept: str, shown: str) -> None:
    """Keep both notes, if the log's key signed the one that is shown too."""
    origin = checkpoint.parse_body(note.parse(kept).text).origin
    # Stops a note that anybody made up from being taken for the log's own word.
    checkpoint.read(shown, checkpoint.log_key(origin, store.ledger_key(c)))
    evidence.mkdir(exist_ok=True, mode=0o700)
    for name, text in (("kept", kept), ("shown", shown)):
        replace_public(evidence / f"{name}-{_mark(text)}.checkpoint", text.encode())


def _mark(text: str) -> str:
    body = checkpoint.parse_body(note.parse(text).text)
    return f"{body.size}-{body.root.hex()[:8]}"


def _rewritten(kept: str, shown: str, evidence: Path) -> Refused:
    old, new = (checkpoint.parse_body(note.parse(text).text) for text in (kept, shown))
    return Refused(
        f"the log was rewritten: its head of {new.size} entries does not extend the one of "
        f"{old.size} that it signed before and that is kept here",
        where=str(evidence),
        todo="Keep that folder: both signed notes are in it. Compare with a hospital's copy.",
        rule="history-rewritten",
    )
