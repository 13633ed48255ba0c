"""What a recovery does not reach: the last head that is known of the log, beyond its entries.

The log's key never signed a head without the entries under it. So a head that covers more than
was recovered shows how much is lost: from a copy that is cut off, an auditor's folder, a
hospital's `status` or its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance.counts import count
from governance.ledger import checkpoint, gap, new_log, note, tree
from governance.ledger import store as ledger
from governance.ledger.project_recovery import keys_ever
from governance.ledger.source import HeldCheckpoint, split_witnesses
from governance.statements import parse_time
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.checkpoint import Checkpoint
    from governance.statements import Log


@dataclass(frozen=True, slots=True)
class Behind:
    """A log that ends before a head that was signed of it; `note` has the good cosignatures.

    `since` is when the last recovered entry was received, `until` when the head was cosigned.
    """

    size: int
    root: bytes
    last: Checkpoint
    note: str
    since: datetime
    until: datetime | None

    @property
    def lost(self) -> int:
        """How many entries are missing."""
        return self.last.size - self.size

    @property
    def sentence(self) -> str:
        """Say how many entries are missing, and of which time."""
        return f"{count(self.lost, 'entry')}, {gap.span(self.since, self.until)}"

    @property
    def binding(self) -> dict[str, Any]:
        """What `log-recovered` says of it."""
        return {"root": self.root.hex(), "lost": self.lost, "last": self.note}


def read_heads(files: Sequence[Path]) -> list[tuple[Path, HeldCheckpoint]]:
    """Read signed heads from files, or raise Refused naming the one that is none."""
    found = []
    for file in files:
        try:
            held = split_witnesses(file.read_text("utf-8"))
            checkpoint.parse_body(note.parse(held.note).text)
        except (OSError, ValueError, PeerFault):
            raise _no_head(file, "this is no signed head of a log") from None
        found.append((file, held))
    return found


def beyond(
    c: Connection, heads: Iterable[tuple[Path, HeldCheckpoint]], *, log: Log
) -> Behind | None:
    """Return the longest head that the log does not reach, None where it reaches them all.

    Raises:
        Refused: a head is not this log's, or is of another history than what was recovered.
    """
    longest: Behind | None = None
    for file, held in heads:
        # 1. The log's key signed it. Stops a loss that somebody made up.
        if not new_log.is_head_of(held.note, log.origin, keys_ever(c, "coordinator", "ledger")):
            raise _no_head(file, f"this head is not signed by the key of {log.origin}")
        known = _behind(c, held)
        # 2. What it covers is the same here. Stops a second history from passing for a loss.
        if known.lost <= 0 and not _agrees(c, known.last):
            raise Refused(
                f"this head of {count(known.last.size, 'entry')} is not of what was recovered",
                where=str(file),
                todo="Keep both: there are two histories. Take another hospital's copy.",
                rule="copy-forked",
            )
        if known.lost > 0 and (longest is None or known.lost > longest.lost):
            longest = known
    return longest


def check_wanted(behind: Behind | None, *, new_log_wanted: bool) -> None:
    """Refuse to leave entries behind unasked, and to begin a new log where none is lost."""
    if behind is not None and not new_log_wanted:
        raise Refused(
            f"what was given reaches {count(behind.size, 'entry')}, but the log's key signed a "
            f"head of {behind.last.size}: {behind.sentence}, are missing",
            todo="Get the copy of a hospital that has seen more, and name it with --from too; "
            "where there is none, begin a new log that says what is lost: --new-log",
            rule="copies-too-short",
        )
    if behind is None and new_log_wanted:
        raise Refused(
            "nothing is known to be lost, so there is no new log to begin",
            todo="Recover without --new-log; or name the last head that somebody kept of the "
            "log, with --checkpoint FILE.",
            rule="nothing-lost",
        )


def _behind(c: Connection, held: HeldCheckpoint) -> Behind:
    size = ledger.size_of(c)
    (newest,) = ledger.entries(c, size - 1, size)
    last = checkpoint.parse_body(note.parse(held.note).text)
    times, lines = [], []
    for site, line in held.lines:
        time = new_log.cosigned_at(held.note, site, line, keys_ever(c, site, "agent"))
        if time is not None:
            times.append(time)
            lines.append(line)
    key = checkpoint.log_key(last.origin, ledger.ledger_key(c))
    own = checkpoint.only_by(held.note, key) if _by(held.note, key) else held.note
    return Behind(
        size=size,
        root=ledger.head(c).root,
        last=last,
        note=checkpoint.with_cosignatures(own, lines),
        since=parse_time(newest.received_at),
        until=max(times, default=None),
    )


def _by(text: str, key: note.VerifierKey) -> bool:
    named = (key.name, key.key_hash)
    return any((one.name, one.key_hash) == named for one in note.parse(text).signatures)


def _agrees(c: Connection, head: Checkpoint) -> bool:
    return head.size == 0 or tree.root(c, head.size) == head.root


def _no_head(file: Path, what: str) -> Refused:
    return Refused(
        what,
        where=str(file),
        todo="Name a file with a signed note: an export's `checkpoint`, or what "
        "`concilium-site audit --evidence` wrote.",
        rule="no-head",
    )
