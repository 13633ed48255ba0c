"""A log that begins anew: what its first entry says of the log before, and what binds the two.

Where no copy reaches the last head that the log had signed, the entries up to the recovered
head stay as they are, and the next one is a `log-recovered` that names what is lost: the root
of what was recovered, and the last head of what was not, as the log's key signed it. So whoever
holds that head sees that it is spoken of, and nobody can be told of a smaller loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance.identity import names
from governance.ledger import checkpoint, note
from governance.ledger.fields import DIGEST, NUMBER, Field
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from governance.ledger.checkpoint import Checkpoint
    from governance.ledger.entry import Entry
    from protos.words import Digest, KeyId

KIND: Final = "log-recovered"
ACCEPTED: Final = "log-accepted"
_NOTE_LIMIT: Final = 8192


def _is_head(value: object) -> bool:
    """Tell whether something is a signed head, with no name in it that says anything else."""
    if not isinstance(value, str) or len(value) > _NOTE_LIMIT:
        return False
    try:
        parsed = note.parse(value)
        origin = checkpoint.parse_body(parsed.text).origin
    except PeerFault:
        return False
    prefix = checkpoint.witness_name(origin, "")
    return all(
        one.name == origin
        or (one.name.startswith(prefix) and names.is_name(one.name.removeprefix(prefix)))
        for one in parsed.signatures
    )


HEAD: Final = Field("a signed head of the log", _is_head)
BINDS: Final[Mapping[str, Field]] = {"root": DIGEST, "lost": NUMBER, "last": HEAD}
"""What `log-recovered` has beside the usual where it begins a new log."""


@dataclass(frozen=True, slots=True)
class NewLog:
    """What a new log's first entry declares.

    Attributes:
        seq: Its place, which is how many entries were recovered.
        statement: Its digest: what hospitals accept.
        at: When it was received.
        root: The root of what was recovered, by its word.
        lost: How many entries are lost, by its word.
        last: The last head of the log before.
        note: That head as it was signed.
    """

    seq: int
    statement: Digest
    at: datetime
    root: bytes
    lost: int
    last: Checkpoint
    note: str

    @property
    def until(self) -> datetime | None:
        """When the last lost head was cosigned last; None where nobody did."""
        prefix = checkpoint.witness_name(self.last.origin, "")
        lines = note.parse(self.note).signatures
        times = [one.time for one in lines if one.name.startswith(prefix)]
        return max(times, default=None)


def declared(entry: Entry) -> NewLog | None:
    """Return what an entry declares, None where it begins no new log."""
    if entry.statement.kind != KIND or "last" not in entry.body:
        return None
    body: Mapping[str, Any] = entry.body
    return NewLog(
        seq=entry.seq,
        statement=entry.statement.digest,
        at=entry.received_at,
        root=bytes.fromhex(body["root"]),
        lost=int(body["lost"]),
        last=checkpoint.parse_body(note.parse(body["last"]).text),
        note=str(body["last"]),
    )


def check_bound(
    new: NewLog, *, root: bytes, origin: str, keys_of: Callable[[str, str], Iterable[KeyId]]
) -> None:
    """Check that a new log is bound to the one before.

    1. It follows on the entries before it. Stops one recovery's word from serving another.
    2. The log's key signed the last head. Stops a loss that somebody made up.
    3. What is lost is all that lies between. Stops a loss from being told smaller than it is.
    4. Every cosignature on it is a hospital's. Stops a head from being dated by a stranger.

    Args:
        new: What was declared.
        root: The root of the entries before it.
        origin: The log's.
        keys_of: The keys that a name ever had for a usage.

    Raises:
        Refused: one of these does not hold (`new-log-unbound`).
    """
    # 1.
    if new.root != root:
        raise _unbound("it names another root than that of the entries before it")
    # 2.
    if new.last.origin != origin or not _is_signed(new, keys_of("coordinator", "ledger")):
        raise _unbound("this log's key did not sign the head that it says is lost")
    # 3.
    if new.last.size - new.seq != new.lost:
        raise _unbound(
            f"it says that {new.lost} entries are lost, but the head that it names covers "
            f"{new.last.size} and {new.seq} were recovered"
        )
    # 4.
    for site, line in _cosignatures(new):
        if not is_cosigned(new.note, site, line, keys_of(site, "agent")):
            raise _unbound(f"the cosignature of {site} on the lost head is bad")


def check_within(new: NewLog, held: Checkpoint, site: str) -> None:
    """Check that a head that a hospital held is no more than was declared to be lost.

    Raises:
        Refused: it covers more (`gap-hidden`), or is another one of the same size.
    """
    if held.size > new.last.size:
        raise Refused(
            f"{site} held a head of {held.size} entries, but the new log that entry {new.seq} "
            f"begins says that the last one was of {new.last.size}",
            rule="gap-hidden",
        )
    if held.size == new.last.size and held.root != new.last.root:
        raise Refused(
            f"{site} held another head of {held.size} entries than the one that is declared "
            "to be lost",
            rule="history-differs",
        )


def is_cosigned(text: str, site: str, line: str, keys: Iterable[KeyId]) -> bool:
    """Tell whether one of a site's keys made this cosignature on a head."""
    return cosigned_at(text, site, line, keys) is not None


def cosigned_at(text: str, site: str, line: str, keys: Iterable[KeyId]) -> datetime | None:
    """Return when one of a site's keys cosigned a head by this line; None where none did."""
    origin = checkpoint.parse_body(note.parse(text).text).origin
    for key in keys:
        try:
            return checkpoint.cosignature(text, line, checkpoint.witness_key(origin, site, key))
        except PeerFault:
            continue
    return None


def is_head_of(text: str, origin: str, keys: Iterable[KeyId]) -> bool:
    """Tell whether one of the log's keys signed a head."""
    for key in keys:
        try:
            checkpoint.read(text, checkpoint.log_key(origin, key))
        except PeerFault:
            continue
        return True
    return False


def _is_signed(new: NewLog, keys: Iterable[KeyId]) -> bool:
    return is_head_of(new.note, new.last.origin, keys)


def _cosignatures(new: NewLog) -> list[tuple[str, str]]:
    prefix = checkpoint.witness_name(new.last.origin, "")
    return [
        (one.name.removeprefix(prefix), one.line)
        for one in note.parse(new.note).signatures
        if one.name.startswith(prefix)
    ]


def _unbound(why: str) -> Refused:
    return Refused(f"a new log is not bound to the one before: {why}", rule="new-log-unbound")
