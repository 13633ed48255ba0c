"""This site's own copy of a federation's ledger, and what the agent asks of it."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import bindparam, func, select

from governance.ledger import project_exits
from governance.ledger import store as ledger
from governance.ledger.prepared import Prepared
from governance.ledger.schema import (
    agreements,
    checkpoints,
    cosignatures,
    entries,
    erasures,
    exit_steps,
    rounds,
)
from governance.stragglers import LATE
from protos.errors import Unavailable
from protos.words import Digest
from site_agent.agent import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

T = TypeVar("T")
_WHAT: Final = "the copy of the ledger"
_COSIGNED: Final = Prepared(
    select(cosignatures.c.size, cosignatures.c.line)
    .where(cosignatures.c.site == bindparam("site"))
    .order_by(cosignatures.c.size.desc())
    .limit(1)
)
_ROOT: Final = Prepared(
    select(checkpoints.c.root).where(checkpoints.c.size == bindparam("size"))
)
_STATES: Final = Prepared(select(agreements.c.digest, agreements.c.state))
_IN_FORCE_SINCE: Final = Prepared(
    select(agreements.c.changed_seq).where(
        agreements.c.digest == bindparam("agreement"), agreements.c.state == "in-force"
    )
)
_OUTCOMES: Final = Prepared(select(rounds).where(rounds.c.round == bindparam("round")))
_MOVED: Final = select(func.max(exit_steps.c.seq)).where(exit_steps.c.model != "")
_GIVEN_UP: Final = Prepared(
    select(func.max(rounds.c.round).label("round")).where(
        rounds.c.opened_seq < _MOVED.scalar_subquery(), rounds.c.state == "closed"
    )
)
_ERASED: Final = Prepared(
    select(entries.c.statement, erasures.c.label)
    .join(erasures, erasures.c.entry_seq == entries.c.seq)
    .where(entries.c.actor == bindparam("actor"), erasures.c.erased_seq.is_not(None))
)
"""Made once, as every round asks them."""


class Copy:
    """One federation's log as this site has verified it, in a database of its own."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copy")

    @classmethod
    def open(cls, path: Path) -> Copy:
        """Open a copy, making an empty one when there is none."""
        return cls(_opened(path), path)

    async def do(self, change: Callable[[Connection], T]) -> T:
        """Run one transaction in the copy's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.now, change)

    def now(self, change: Callable[[Connection], T]) -> T:
        """Run one transaction here."""
        with ledger.in_words(_WHAT), self._engine.begin() as connection:
            return change(connection)

    @contextmanager
    def looked_at(self) -> Iterator[Connection]:
        """Give a connection whose changes are all undone at its end."""
        with ledger.in_words(_WHAT), self._engine.connect() as connection:
            undone = connection.begin()
            try:
                yield connection
            finally:
                undone.rollback()

    async def give_way(self, new: Path, before: Path) -> None:
        """Let another file take the place of this copy, which is kept under a name of its own.

        Done already where that file is gone; a crash leaves nothing that this does not end.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._give_way, new, before)

    def _give_way(self, new: Path, before: Path) -> None:
        if not new.exists():
            return
        self._settle_down()
        try:
            if not before.exists():
                self._path.replace(before)
            new.replace(self._path)
        finally:
            self._engine = _opened(self._path)

    def _settle_down(self) -> None:
        """Bring all into the one file: what lies beside it would be read into the next one."""
        with ledger.in_words(_WHAT), self._engine.connect() as connection:
            raw = connection.connection
            busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Unavailable("another program reads the copy of the ledger", rule="store-busy")
        self._engine.dispose()
        for end in ("-wal", "-shm"):
            self._path.with_name(f"{self._path.name}{end}").unlink(missing_ok=True)

    def close(self) -> None:
        """Finish what is being written, and close."""
        self._thread.shutdown()
        self._engine.dispose()


def _opened(path: Path) -> Engine:
    engine = ledger.open_engine(f"sqlite:///{path}")
    with ledger.in_words(_WHAT, where=path):
        ledger.create(engine, where=path)
    return engine


def attempts(c: Connection) -> frozenset[tuple[int, int]]:
    """Return every attempt of a round that was opened."""
    rows = c.execute(select(rounds.c.round, rounds.c.attempt))
    return frozenset((int(row.round), int(row.attempt)) for row in rows)


def cosigned(c: Connection, site: str) -> tuple[int, str]:
    """Return the size of the last checkpoint that this site cosigned, and its line."""
    row = _COSIGNED.first(c, site=site)
    return (int(row.size), str(row.line)) if row is not None else (0, "")


def root_of(c: Connection, size: int) -> bytes:
    """Return the root of a checkpoint that is kept here; empty bytes for none."""
    found = _ROOT.first(c, size=size)
    return b"" if found is None else bytes(found.root)


def in_force(c: Connection) -> frozenset[str]:
    """Return the agreements in force."""
    return frozenset(digest for digest, state in states(c).items() if state == "in-force")


def states(c: Connection) -> dict[str, str]:
    """Return the state of every agreement, by digest."""
    return {str(row.digest): str(row.state) for row in _STATES.all(c)}


def not_in_force(c: Connection) -> frozenset[str]:
    """Return the agreements that are known here and are in another state than in force."""
    return frozenset(digest for digest, state in states(c).items() if state != "in-force")


def outcome(c: Connection, round_: int, attempt: int) -> Outcome | None:
    """Return how an attempt of a round ended, None where it is not in the copy."""
    return outcomes(c, round_).get((round_, attempt))


def outcomes(c: Connection, round_: int) -> dict[tuple[int, int], Outcome]:
    """Return by round and attempt how each attempt of a round ended, or that it is open."""
    return {(round_, int(row.attempt)): _outcome(row) for row in _OUTCOMES.all(c, round=round_)}


def _outcome(row: Any) -> Outcome:  # noqa: ANN401 - a row of `rounds`
    out = json.loads(row.sites_out or "{}")
    return Outcome(
        row.state,
        frozenset(json.loads(row.sites_in or "[]")),
        row.reason or "",
        late=frozenset(site for site, why in out.items() if why == LATE),
        made=(row.model_out or "", row.state_out or ""),
    )


def given_up_with(c: Connection) -> int:
    """Return the last round before an exit moved the base of training, 0 where none did."""
    return int(_GIVEN_UP.first(c).round or 0)


def left_inside(c: Connection, agreement: str) -> frozenset[str]:
    """Return who left under an agreement that is in force, and is in its model still."""
    since = _IN_FORCE_SINCE.first(c, agreement=agreement)
    if since is None:
        return frozenset()
    return frozenset(project_exits.left_inside(c, since.changed_seq))


def erased(c: Connection, actor: str) -> list[tuple[Digest, str]]:
    """Return each value of somebody's statements that was erased, by digest and label."""
    return [(Digest(row.statement), row.label) for row in _ERASED.all(c, actor=actor)]


def rounds_closed(c: Connection) -> int:
    """Return how many rounds are closed."""
    closed = select(func.count()).select_from(rounds).where(rounds.c.state == "closed")
    return int(c.execute(closed).scalar() or 0)


def made_in(c: Connection, model: str) -> tuple[int, str]:
    """Return the round that made a model, and its agreement; 0 where none is known."""
    row = c.execute(
        select(rounds.c.round, rounds.c.agreement)
        .where(rounds.c.model_out == model)
        .order_by(rounds.c.round)
        .limit(1)
    ).one_or_none()
    return (int(row.round), str(row.agreement)) if row is not None else (0, "")
