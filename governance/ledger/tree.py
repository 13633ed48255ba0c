"""The Merkle tree as stored: a row for each complete subtree, so that a proof is O(log n)."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, and_, bindparam, insert, or_, select

from governance.ledger import merkle
from governance.ledger.prepared import Prepared
from governance.ledger.schema import nodes
from protos.errors import ConciliumError, Corrupt, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_INSERT: Final = Prepared(insert(nodes), [column.name for column in nodes.columns])
_LAST: Final = Prepared(
    select(nodes.c.idx).where(nodes.c.level == 0).order_by(nodes.c.idx.desc()).limit(1)
)


def size(c: Connection) -> int:
    """Return how many leaves the tree has."""
    last = _LAST.first(c)
    return 0 if last is None else int(last.idx) + 1


def root(c: Connection, tree_size: int) -> bytes:
    """Return the root of the tree of the first `tree_size` entries."""
    return merkle.fold(_hashes(c, merkle.peaks_of(tree_size)))


def append(
    c: Connection, seq: int, leaf: bytes, frontier: merkle.Frontier | None = None
) -> None:
    """Store the nodes that an entry's leaf completes; `frontier` is the tree's, if known."""
    if frontier is None:
        # Only the subtrees that the leaf joins are read: one on average, and often none.
        frontier = merkle.Frontier(seq, _hashes(c, merkle.joined_by(seq)))
    made = frontier.append(leaf)
    _store(c, [{"level": level, "idx": idx, "hash": node} for level, idx, node in made])


def frontier(c: Connection, tree_size: int) -> merkle.Frontier:
    """Return the tree of the first so many entries, to be grown."""
    return merkle.Frontier(tree_size, _hashes(c, merkle.peaks_of(tree_size)))


@contextmanager
def growing(c: Connection, tree_size: int) -> Iterator[Callable[[bytes], None]]:
    """Give what takes the leaves that follow; store the nodes that they complete at the end.

    Leaves that were taken before an entry was refused stay.
    """
    tree = frontier(c, tree_size)
    made: list[dict[str, object]] = []

    def grow(leaf: bytes) -> None:
        nodes = tree.append(leaf)
        made.extend({"level": level, "idx": idx, "hash": node} for level, idx, node in nodes)

    try:
        yield grow
    except ConciliumError:
        _store(c, made)
        raise
    _store(c, made)


def inclusion(c: Connection, seq: int, tree_size: int) -> list[bytes]:
    """Return the proof that an entry is in the tree of the first `tree_size`.

    Raises:
        Refused: the log, or the tree, has no such entry.
    """
    _check_size(c, tree_size)
    if not 0 <= seq < tree_size:
        raise Refused(f"no entry {seq} is among the first {tree_size}", rule="unknown-entry")
    return _spans(c, merkle.inclusion_spans(seq, tree_size))


def consistency(c: Connection, old_size: int, new_size: int) -> list[bytes]:
    """Return the proof that the tree of `new_size` extends the one of `old_size`.

    Raises:
        Refused: the log is not that long, or the sizes are the wrong way round.
    """
    _check_size(c, new_size)
    if not 0 <= old_size <= new_size:
        raise Refused(
            f"a log of {new_size} does not extend one of {old_size}", rule="unknown-entry"
        )
    return _spans(c, merkle.consistency_spans(old_size, new_size))


def _store(c: Connection, made: Sequence[dict[str, object]]) -> None:
    _INSERT.write_all(c, made)


def _check_size(c: Connection, wanted: int) -> None:
    if wanted > size(c):
        raise Refused(f"the log has fewer than {wanted} entries", rule="unknown-entry")


def _spans(c: Connection, spans: Iterable[tuple[int, int]]) -> list[bytes]:
    covers = [merkle.cover(start, end) for start, end in spans]
    found = iter(_hashes(c, [subtree for cover in covers for subtree in cover]))
    return [merkle.fold([next(found) for _ in cover]) for cover in covers]


def _hashes(c: Connection, subtrees: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the stored hashes of these subtrees, in this order."""
    if not subtrees:
        return []
    wanted = {
        f"{name}{place}": value
        for place, subtree in enumerate(subtrees)
        for name, value in zip(("level", "idx"), subtree, strict=True)
    }
    rows = _each(len(subtrees)).all(c, **wanted)
    found = {(row.level, row.idx): bytes(row.hash) for row in rows}
    try:
        return [found[subtree] for subtree in subtrees]
    except KeyError as missing:
        raise Corrupt(
            f"the tree has no node {missing}",
            todo="Run concilium-ledger verify.",
            rule="tree-damaged",
        ) from None


@lru_cache(maxsize=128)
def _each(count: int) -> Prepared:
    """Return the question for so many nodes; SQLite scans for an IN, and not for an OR."""
    same = (
        and_(
            nodes.c.level == bindparam(f"level{place}"), nodes.c.idx == bindparam(f"idx{place}")
        )
        for place in range(count)
    )
    return Prepared(select(nodes.c.level, nodes.c.idx, nodes.c.hash).where(or_(*same)))
