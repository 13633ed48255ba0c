"""The checkpoints that a log is held against: its own, and those that others kept.

A checkpoint that a hospital cosigned, or that an auditor kept, is what a rewritten history
cannot agree with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from governance.counts import count
from governance.ledger import checkpoint, note
from governance.ledger.replay import Fault
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from governance.ledger.checkpoint import Checkpoint
    from governance.ledger.keyring import Keyring
    from governance.ledger.merkle import Frontier
    from governance.ledger.source import HeldCheckpoint
    from protos.words import KeyId


@dataclass(slots=True)
class Heads:
    """Checkpoints by size, and how far they were found to agree with the entries.

    `agreed` is the largest size whose root is the log's, `witnesses` who cosigned that one, and
    `witnessed` the largest size that more than half of the sites cosigned.
    """

    by_size: dict[int, list[_Head]] = field(default_factory=dict)
    unreadable: str = ""
    agreed: int = 0
    witnesses: list[str] = field(default_factory=list)
    witnessed: int = 0

    @classmethod
    def of(cls, held: Iterable[HeldCheckpoint], pinned: Iterable[HeldCheckpoint] = ()) -> Heads:
        """Return the heads of a log, and those pinned elsewhere that it must extend."""
        heads = cls()
        for is_pinned, group in ((False, held), (True, pinned)):
            for one in group:
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

    def fault_at_end(self, size: int) -> Fault | None:
        """Return the fault of a log of this size that ends before one of its checkpoints."""
        if self.unreadable:
            return Fault(size, "bad-checkpoint", f"a checkpoint is damaged: {self.unreadable}")
        if not self.by_size:
            return None
        longest = max(self.by_size)
        whose = "the pinned checkpoint" if _pinned(self.by_size[longest]) else "a checkpoint"
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
            return Fault(
                self.agreed,
                "history-rewritten",
                f"{whose} of {count(size, 'entry')} has another root: one or more of the "
                f"entries {self.agreed} to {size - 1} are not what they were when it was "
                "signed",
            )
        self.agreed, self.witnesses = size, []
        for site, line in head.held.lines:
            if not _cosigned(head, site, line, keyring.of(site, "agent")):
                said = f"the cosignature of {site} on {whose} of {count(size, 'entry')} is bad"
                return Fault(size - 1, "bad-cosignature", f"{said}: it was forged")
            self.witnesses.append(site)
        counted = keyring.sites_in_force()
        if 2 * len(set(self.witnesses) & set(counted)) > len(counted):
            self.witnessed = size
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


def _cosigned(head: _Head, site: str, line: str, keys: Iterable[KeyId]) -> bool:
    for key in keys:
        try:
            witness = checkpoint.witness_key(head.body.origin, site, key)
            checkpoint.cosignature(head.held.note, line, witness)
        except PeerFault:
            continue
        return True
    return False
