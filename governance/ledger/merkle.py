"""The Merkle tree of RFC 9162 §2.1 over SHA-256, and its proofs.

A tree of n > 1 leaves is split at the largest power of two below n, so its complete subtrees
never change once they are full: stored by (level, idx) they make every proof O(log n), since
each hash of a proof is folded from at most log₂ n of them. Nothing here recurses. The verifiers
raise, so that nobody can forget to look at an answer; the sizes they are given must come from a
checkpoint that is trusted, never from the message that brings the proof.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES: Final = 32
EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of a whole tree, level by level; a node without a sibling moves up."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY
    while len(level) > 1:
        pairs = zip(level[0::2], level[1::2], strict=False)
        single = level[-1:] if len(level) % 2 else []
        level = [node_hash(left, right) for left, right in pairs] + single
    return level[0]


def inclusion(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that leaf `index`, from 0, is in the tree of all these leaves."""
    spans = inclusion_spans(index, len(leaf_hashes))
    return [root(leaf_hashes[start:end]) for start, end in spans]


def consistency(leaf_hashes: Sequence[bytes], size: int) -> list[bytes]:
    """Return the proof that the tree of all these leaves extends that of the first `size`."""
    spans = consistency_spans(size, len(leaf_hashes))
    return [root(leaf_hashes[start:end]) for start, end in spans]


class Frontier:
    """A growing tree, held as the roots of its complete subtrees, the largest first.

    Args:
        size: How many leaves the tree has.
        peaks: The hashes of `peaks_of(size)`, in that order.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf's hash; return the nodes (level, idx, hash) that became complete."""
        level, idx, made = 0, self.size, leaf
        nodes = [(level, idx, made)]
        while idx % 2:
            made = node_hash(self.peaks.pop(), made)
            level, idx = level + 1, idx // 2
            nodes.append((level, idx, made))
        self.peaks.append(made)
        self.size += 1
        return nodes

    def root(self) -> bytes:
        """Return the root of the tree as it is now."""
        return fold(self.peaks)


def fold(subtrees: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees that stand side by side, the largest first."""
    if not subtrees:
        return EMPTY
    made = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        made = node_hash(left, made)
    return made


def cover(start: int, end: int) -> list[tuple[int, int]]:
    """Return the complete subtrees (level, idx) whose leaves are start <= leaf < end.

    The span is one of a proof, or begins at 0; then `fold` of their hashes is its root.
    """
    subtrees = []
    while start < end:
        widest = (end - start).bit_length() - 1
        level = widest if start == 0 else min(widest, (start & -start).bit_length() - 1)
        subtrees.append((level, start >> level))
        start += 1 << level
    return subtrees


def peaks_of(size: int) -> list[tuple[int, int]]:
    """Return the complete subtrees (level, idx) of a tree, the largest first."""
    return cover(0, size)


def joined_by(index: int) -> list[tuple[int, int]]:
    """Return the complete subtrees (level, idx) that leaf `index` joins, the largest first."""
    joined = []
    level, idx = 0, index
    while idx % 2:
        joined.append((level, idx - 1))
        level, idx = level + 1, idx // 2
    return joined[::-1]


def inclusion_spans(index: int, size: int) -> list[tuple[int, int]]:
    """Return the spans of leaves whose roots prove leaf `index`, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    start, end = 0, size
    spans = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(size: int, new_size: int) -> list[tuple[int, int]]:
    """Return the spans of leaves whose roots prove that one tree extends another."""
    if not 0 <= size <= new_size:
        raise ValueError(f"a tree of {new_size} does not extend one of {size}")
    start, end = 0, new_size
    spans = []
    while 0 < size != end:
        middle = start + _split(end - start)
        if size <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start > 0:
        spans.append((start, end))
    return spans[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Check that a leaf's hash is at `index` of the tree of `size` with this root.

    RFC 9162 §2.1.3.2, without recursion.

    Raises:
        PeerFault: it does not follow from the proof.
    """
    if not 0 <= index < size:
        raise _no_inclusion(f"there is no leaf {index} in a tree of {size}")
    _check_lengths(leaf, root_hash, *proof)
    fn, sn, made = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise _no_inclusion("the proof is too long")
        if fn % 2 or fn == sn:
            made = node_hash(sibling, made)
            fn, sn = _skip_right_edge(fn, sn)
        else:
            made = node_hash(made, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise _no_inclusion("the proof is too short")
    if made != root_hash:
        raise _no_inclusion("the proof leads to another root")


def verify_consistency(
    size: int, new_size: int, proof: Sequence[bytes], root_hash: bytes, new_root: bytes
) -> None:
    """Check that the tree of `new_size` extends the one of `size`, by their roots.

    RFC 9162 §2.1.4.2, without recursion. Every tree extends the empty one.

    Raises:
        PeerFault: it does not follow from the proof.
    """
    _check_lengths(root_hash, new_root, *proof)
    if not 0 <= size <= new_size:
        raise _no_consistency(f"a tree of {new_size} does not extend one of {size}")
    if size in {0, new_size}:
        known = EMPTY if size == 0 else new_root
        if proof or root_hash != known or (new_size == 0 and new_root != EMPTY):
            raise _no_consistency("trees of equal or no size have another root or a proof")
        return
    is_complete = size & (size - 1) == 0
    made, new_made, fully = _climb(
        size, new_size, [root_hash, *proof] if is_complete else proof
    )
    if not fully:
        raise _no_consistency("the proof has a wrong length")
    if (made, new_made) != (root_hash, new_root):
        raise _no_consistency("the proof leads to other roots")


def _climb(size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes, bool]:
    """Return both roots as the proof has them, and whether it is exactly as long as it must."""
    if not path:
        return b"", b"", False
    fn, sn = size - 1, new_size - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    made = new_made = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return b"", b"", False
        if fn % 2 or fn == sn:
            made, new_made = node_hash(sibling, made), node_hash(sibling, new_made)
            fn, sn = _skip_right_edge(fn, sn)
        else:
            new_made = node_hash(new_made, sibling)
        fn, sn = fn >> 1, sn >> 1
    return made, new_made, sn == 0


def _skip_right_edge(fn: int, sn: int) -> tuple[int, int]:
    """Go up the levels where a node at the right edge has no sibling."""
    while fn % 2 == 0 and fn != 0:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _split(size: int) -> int:
    """Return the largest power of two strictly below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def _check_lengths(*hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise PeerFault("a hash has not 32 bytes", rule="bad-proof")


def _no_inclusion(why: str) -> PeerFault:
    return PeerFault(f"an entry is not shown to be in the log: {why}", rule="bad-proof")


def _no_consistency(why: str) -> PeerFault:
    return PeerFault(f"the log is not shown to extend itself: {why}", rule="bad-proof")
