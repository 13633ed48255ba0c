"""One writer over the coordinator's database.

Writes queue up while one is being committed, and go down together (group commit); each has a
savepoint of its own, so that one that is refused takes nothing else with it. What can wait goes
down with the next of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy.exc import OperationalError

from coordinator.store import outbox
from coordinator.store.parts import PARTS
from governance.ledger import revisions
from governance.ledger import store as ledger
from governance.ledger.savepoint import savepoint

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sqlalchemy import Connection, Engine

    from protos.words import SiteName

T = TypeVar("T")
_DATABASE: Final = "the database"


class Store:
    """One writer over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting: deque[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = deque()
        self._later: dict[Hashable, Callable[[Connection], None]] = {}
        self._draining: asyncio.Task[None] | None = None
        self._mailed: frozenset[SiteName] = frozenset()
        self.on_mail: Callable[[frozenset[SiteName]], None] | None = None

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at a SQLAlchemy URL, making what is missing.

        Raises:
            Refused: it is of another version.
            Unavailable: it cannot be opened or written.
        """
        engine = ledger.open_engine(url)
        where = engine.url.render_as_string()
        with ledger.in_words(_DATABASE, where=where):
            revisions.settle(engine, PARTS, where=where)
        return cls(engine)

    @property
    def engine(self) -> Engine:
        """The engine, for readers."""
        return self._engine

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change in the next transaction and return its result once it is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((change, future))
        if self._draining is None or self._draining.done():
            self._draining = loop.create_task(self._drain())
        return await future

    def later(self, what: Hashable, change: Callable[[Connection], None]) -> None:
        """Run a change with the next that is asked for; a newer one of `what` takes its place.

        It may be lost with a refusal or a crash: for what is said again.
        """
        self._later[what] = change

    def write_now(self, change: Callable[[Connection], T]) -> T:
        """Run a change before any event loop runs."""
        with ledger.in_words(_DATABASE), self._engine.begin() as connection:
            return change(connection)

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Ask a question, after every change that was asked for before it."""
        return await self.write(question)

    def close_now(self) -> None:
        """Close without an event loop."""
        self._writer.shutdown()
        self._engine.dispose()

    async def close(self) -> None:
        """Finish what is waiting and close."""
        if self._draining is not None:
            await self._draining
        self.close_now()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            changes = [change for change, _ in batch]
            later, self._later = list(self._later.values()), {}
            outcomes = await loop.run_in_executor(self._writer, self._commit, changes, later)
            if self._mailed and self.on_mail is not None:
                self.on_mail(self._mailed)
                self._mailed = frozenset()
            for (_, future), (result, error) in zip(batch, outcomes, strict=True):
                if future.cancelled():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)

    def _commit(
        self,
        changes: list[Callable[[Connection], Any]],
        later: list[Callable[[Connection], None]],
    ) -> list[tuple[Any, BaseException | None]]:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with ledger.in_words(_DATABASE), self._engine.begin() as connection:
                for change in later:
                    change(connection)
                if len(changes) == 1:  # the transaction itself is its savepoint
                    outcomes.append((changes[0](connection), None))
                else:
                    outcomes.extend(_try(connection, change) for change in changes)
                self._mailed = outbox.mailed(connection)
        except Exception as error:  # noqa: BLE001 - handed to all who asked: none waits for ever
            return [(None, error)] * len(changes)
        return outcomes


def _try(
    connection: Connection, change: Callable[[Connection], Any]
) -> tuple[Any, BaseException | None]:
    try:
        with savepoint(connection):
            return change(connection), None
    except OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to whoever asked for the change
        return None, error
