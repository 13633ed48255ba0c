"""Where the log ends, as far as a writer's transaction knows: read once, then remembered.

Nobody else writes meanwhile. It is forgotten with the transaction, when a savepoint is rolled
back, and when anything but an append writes entries or nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from governance.ledger import merkle, remembered, tree, waiting
from governance.ledger.prepared import Prepared
from governance.ledger.schema import entries
from governance.statements import Chain, parse_time
from protos.words import Digest, KeyId

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.ledger.entry import Entry

_LAST_OF: Final = (
    select(entries.c.counter, entries.c.statement)
    .where(entries.c.signer == bindparam("signer"))
    .order_by(entries.c.counter.desc())
    .limit(1)
)
_CHAIN: Final = Prepared(_LAST_OF)
_LAST: Final = Prepared(
    select(
        entries.c.seq,
        entries.c.received_at,
        entries.c.leaf_hash,
        select(entries.c.leaf_hash).where(entries.c.seq == 0).scalar_subquery().label("first"),
        _LAST_OF.with_only_columns(entries.c.counter).scalar_subquery().label("counter"),
        _LAST_OF.with_only_columns(entries.c.statement).scalar_subquery().label("previous"),
    )
    .order_by(entries.c.seq.desc())
    .limit(1)
)
"""Where the log ends and where a signer's chain does: all that an append must know, at once."""


@dataclass(slots=True)
class End:
    """The last entry, the first one's leaf hash, and the chains that were asked for."""

    seq: int
    received_at: datetime
    leaf: bytes
    first: bytes
    chains: dict[KeyId, Chain] = field(default_factory=dict)
    _frontier: merkle.Frontier | None = None
    _appended: int = 0

    def chain(self, c: Connection, key: KeyId) -> Chain:
        """Return where a key's chain stands."""
        known = self.chains.get(key)
        if known is None:
            known = self.chains[key] = _chain(c, key)
        return known

    def grow(self, c: Connection, leaf: bytes) -> None:
        """Store the nodes that the next entry's leaf completes."""
        if self._frontier is None and self._appended:  # the first may be the only one
            self._frontier = tree.frontier(c, self.seq + 1)
        tree.append(c, self.seq + 1, leaf, self._frontier)

    def take(self, e: Entry, leaf: bytes) -> None:
        """Let an entry that was written be the last."""
        self.seq, self.received_at, self.leaf = e.seq, e.received_at, leaf
        self.chains[e.statement.key] = e.statement.chain
        self._appended += 1


def of(c: Connection, key: KeyId) -> End | None:
    """Return where the log ends, None if it has no entry; `key` is whose chain is asked for."""
    known = remembered.answers(c)
    if known.end is not None:
        return known.end
    last = _LAST.first(c, signer=key)
    if last is None:
        return None
    end = End(last.seq, parse_time(last.received_at), bytes(last.leaf_hash), bytes(last.first))
    end.chains[key] = _after(last.counter, last.previous)
    if waiting.may(c):  # else nobody would say that it is true no longer
        remembered.answers(c).end = end
    return end


def chain_of(c: Connection, key: KeyId) -> Chain:
    """Return where a key's chain stands in the log."""
    known = remembered.of(c)
    return _chain(c, key) if known is None or known.end is None else known.end.chain(c, key)


def forget(c: Connection) -> None:
    """Read it anew when it is asked for."""
    remembered.answers(c).end = None


def _chain(c: Connection, key: KeyId) -> Chain:
    last = _CHAIN.first(c, signer=key)
    return Chain.START if last is None else _after(last.counter, last.statement)


def _after(counter: int | None, previous: str | None) -> Chain:
    return Chain(counter, Digest(previous)) if counter and previous else Chain.START
