"""One SQLite file for all federations of the hospital, shared by agent and command line.

Each federation's copy of the ledger lies in a file of its own beside it. A message that is
taken, a statement that is made, a task that moves: each is one transaction, written before
anybody else can see its effect. Here is no rule, only what is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import MetaData

from governance.ledger import revisions
from governance.ledger import store as ledger
from protos.errors import ConciliumError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

T = TypeVar("T")
_WHAT: Final = "the site's store"
LATER_S: Final = 1.0
"""How long what can wait does, in seconds."""

metadata: Final = MetaData()
_MAIL: Final = "mail"


def mail(c: Connection, federation: str) -> None:
    """Have whoever sends a federation's messages told of new ones, once they are durable."""
    c.info.setdefault(_MAIL, set()).add(federation)


class Store:
    """The database at a path, and the one thread that the running agent uses it in.

    `on_mail` are called in the loop, by federation, after a transaction that left messages.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._later: dict[Hashable, Callable[[Connection], None]] = {}
        self._flushing: asyncio.Future[None] | None = None
        self.on_mail: dict[str, Callable[[], None]] = {}

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open the database, making what is missing.

        Raises:
            Refused: it is of another version.
            Unavailable: it cannot be opened or written.
        """
        from site_agent.store.upgrading import SITE  # all modules with tables, which need this

        engine = ledger.open_engine(f"sqlite:///{path}")
        with ledger.in_words(_WHAT, where=path):
            revisions.settle(engine, (SITE,), where=path)
        return cls(engine)

    def now(self, change: Callable[[Connection], T]) -> T:
        """Run one transaction here and return its result once it is durable."""
        with ledger.in_words(_WHAT), self._engine.begin() as connection:
            return change(connection)

    def look(self, question: Callable[[Connection], T]) -> T:
        """Ask something here; waits for no writer."""
        with ledger.in_words(_WHAT), ledger.reading(self._engine) as connection:
            return question(connection)

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask something in the store's thread, after all that was asked to be written."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.look, question)

    async def do(self, change: Callable[[Connection], T]) -> T:
        """Run one transaction in the store's thread; a cancelled caller does not undo it."""
        loop = asyncio.get_running_loop()
        later, self._later = tuple(self._later.values()), {}
        both = partial(_after, later, change) if later else change
        return await loop.run_in_executor(self._thread, self._done, loop, both)

    def _done(self, loop: asyncio.AbstractEventLoop, change: Callable[[Connection], T]) -> T:
        """Run one transaction; have the loop tell of the mail in it, whoever waits for it."""
        result, mailed = self.now(lambda c: (change(c), c.info.pop(_MAIL, ())))
        for federation in mailed:
            if (told := self.on_mail.get(federation)) is not None:
                loop.call_soon_threadsafe(told)
        return result

    def later(self, what: Hashable, change: Callable[[Connection], None]) -> None:
        """Run a change with the next transaction, or soon; a newer one of `what` replaces it.

        It may be lost with that transaction, or in a crash: for what is said again.
        """
        if not self._later:
            asyncio.get_running_loop().call_later(LATER_S, self._flush)
        self._later[what] = change

    async def settle(self) -> None:
        """Run now what `later` was to run."""
        await self.do(_nothing)

    def _flush(self) -> None:
        """Run what nobody's transaction has taken along."""
        if self._later:
            self._flushing = asyncio.ensure_future(self._settle_or_leave())

    async def _settle_or_leave(self) -> None:
        with contextlib.suppress(ConciliumError):  # whoever needs the store is told
            await self.settle()

    def close(self) -> None:
        """Finish what is being written, and close; what can wait is said again another time."""
        self._later = {}
        if self._flushing is not None:
            self._flushing.cancel()
        self._thread.shutdown()
        self._engine.dispose()


def _after(
    before: Iterable[Callable[[Connection], None]],
    change: Callable[[Connection], T],
    connection: Connection,
) -> T:
    for one in before:
        one(connection)
    return change(connection)


def _nothing(_connection: Connection) -> None:
    """Change nothing."""
