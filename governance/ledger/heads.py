"""The checkpoints that a log is held against: its own, and those that others kept.

A checkpoint that a hospital cosigned, or that an auditor kept, is what a rewritten history
cannot agree with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from governance.counts import count
from governance.ledger import checkpoint, new_log, note
from governance.ledger.replay import Fault
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.ledger.checkpoint import Checkpoint
    from governance.ledger.keyring import Keyring
    from governance.ledger.merkle import Frontier
    from governance.ledger.new_log import NewLog
    from governance.ledger.source import HeldCheckpoint


@dataclass(slots=True)
class Heads:
    """Checkpoints by size, and how far they were found to agree with the entries.

    `agreed` is the largest size whose root is the log's, `witnesses` who cosigned that one, and
    `witnessed` the largest size that more than half of the sites cosigned. `lost` are the new
    logs that the entries begin: a pinned head may be the one that they declare to be lost,
    unless it `binds` the entries below it, whose signatures are then not checked again.
    """

    by_size: dict[int, list[_Head]] = field(default_factory=dict)
    unreadable: str = ""
    agreed: int = 0
    witnesses: list[str] = field(default_factory=list)
    witnessed: int = 0
    lost: list[NewLog] = field(default_factory=list)
    binds: bool = False

    @classmethod
    def of(cls, held: Iterable[HeldCheckpoint], pinned: Iterable[HeldCheckpoint] = ()) -> Heads:
        """Return the heads of a log, and those pinned elsewhere that it must extend."""
        heads = cls()
        for is_pinned, group in ((False, held), (True, pinned)):
            for one in group:
                if not one.note:
                    site, _ = one.lines[0]
                    said = f"a cosignature of {site} is on none that is there"
                    heads.unreadable = heads.unreadable or said
                    continue
                try:
                    body = checkpoint.parse_body(note.parse(one.note).text)
                except PeerFault as broken:
                    heads.unreadable = heads.unreadable or broken.what
                    continue
                if one.stored not in {None, (body.size, body.root)}:
                    heads.unreadable = "its size or root is not that of its note"
                if body.size > 0:
                    heads.by_size.setdefault(body.size, []).append(_Head(body, one, is_pinned))
        return heads

    def fault_at(self, tree: Frontier, keyring: Keyring) -> Fault | None:
        """Return what is wrong with the checkpoints of the tree's present size."""
        for head in self.by_size.pop(tree.size, ()):
            fault = self._fault(head, tree, keyring)
            if fault is not None:
                return fault
        return None

    def fault_at_end(self, size: int, keyring: Keyring) -> Fault | None:
        """Return the fault of a log of this size that ends before one of its checkpoints."""
        if self.unreadable:
            return Fault(size, "bad-checkpoint", f"a checkpoint is damaged: {self.unreadable}")
        for heads in self.by_size.values():
            for head in heads:
                fault = self._fault_of_lost(head, keyring)
                if fault is not None:
                    return fault
        left = {s: h for s, h in self.by_size.items() if not all(map(self._is_lost, h))}
        return self._cut(left, size)

    def _cut(self, left: Mapping[int, list[_Head]], size: int) -> Fault | None:
        if not left:
            return None
        longest = max(left)
        whose = "the pinned checkpoint" if _pinned(left[longest]) else "a checkpoint"
        return Fault(
            size,
            "tail-cut",
            f"entry {size} is missing: {whose} covers {count(longest, 'entry')}, but the log "
            f"has {size}; its end was cut off",
        )

    def _fault(self, head: _Head, tree: Frontier, keyring: Keyring) -> Fault | None:
        whose = "the pinned checkpoint" if head.pinned else "the checkpoint"
        size = head.body.size
        if not _is_signed(head, keyring, size):
            said = f"{whose} of {count(size, 'entry')} is not signed by this log's key"
            return Fault(size - 1, "bad-checkpoint", f"{said}: it was forged, or is another's")
        if head.body.root != tree.root():
            if self._is_lost(head):
                return None
            return self._fault_of_lost(head, keyring) or Fault(
                self.agreed,
                "history-rewritten",
                f"{whose} of {count(size, 'entry')} has another root: one or more of the "
                f"entries {self.agreed} to {size - 1} are not what they were when it was "
                "signed",
            )
        if size != self.agreed:
            self.agreed, self.witnesses = size, []
        return self._fault_of_witnesses(head, keyring, whose)

    def _fault_of_witnesses(self, head: _Head, keyring: Keyring, whose: str) -> Fault | None:
        size = head.body.size
        for site, line in head.held.lines:
            if not new_log.is_cosigned(head.held.note, site, line, keyring.of(site, "agent")):
                said = f"the cosignature of {site} on {whose} of {count(size, 'entry')} is bad"
                return Fault(size - 1, "bad-cosignature", f"{said}: it was forged")
            self.witnesses.append(site)
        counted = keyring.sites_in_force()
        if 2 * len(set(self.witnesses) & set(counted)) > len(counted):
            self.witnessed = size
        return None

    def _is_lost(self, head: _Head) -> bool:
        """Tell whether a pinned head is the very one that a new log declares to be lost."""
        if self.binds:
            return False
        return head.pinned and any(new.last == head.body for new in self.lost)

    def _fault_of_lost(self, head: _Head, keyring: Keyring) -> Fault | None:
        """Return what a pinned head shows of what a new log declares to be lost."""
        if not head.pinned or self._is_lost(head) or not _is_signed(head, keyring, 0):
            return None
        size = head.body.size
        for new in self.lost:
            if size <= new.seq or not _seen_before(head, new, keyring):
                continue
            said = f"the pinned checkpoint of {count(size, 'entry')} was cosigned before entry "
            said = f"{said}{new.seq} began a new log, which says that the last head was of "
            if size > new.last.size:
                return Fault(
                    new.seq,
                    "gap-hidden",
                    f"{said}{new.last.size}: more was lost than it declares",
                )
            return Fault(
                new.seq,
                "head-in-gap",
                f"{said}{new.last.size}: it is of what was lost, and no entry here shows "
                "whether that was so; hold it against a hospital's copy from before",
            )
        return None


@dataclass(frozen=True, slots=True)
class _Head:
    body: Checkpoint
    held: HeldCheckpoint
    pinned: bool


def _pinned(heads: Iterable[_Head]) -> bool:
    return any(head.pinned for head in heads)


def _is_signed(head: _Head, keyring: Keyring, size: int) -> bool:
    """Tell whether the log's key signed it; one that was replaced signs nothing newer."""
    if keyring.founded is None or head.body.origin != keyring.founded.log.origin:
        return False
    for key, held in keyring.of("coordinator", "ledger").items():
        if held.until_seq is not None and size > held.until_seq + 1:
            continue
        try:
            checkpoint.read(head.held.note, checkpoint.log_key(head.body.origin, key))
        except PeerFault:
            continue
        return True
    return False


def _seen_before(head: _Head, new: NewLog, keyring: Keyring) -> bool:
    """Tell whether a hospital cosigned a head before a new log was declared."""
    times = (
        new_log.cosigned_at(head.held.note, site, line, keyring.of(site, "agent"))
        for site, line in head.held.lines
    )
    return any(time is not None and time <= new.at for time in times)
