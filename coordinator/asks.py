"""What the conductor is asked, in its order: one at a time, or together where that is the same.

What sites say is one change of the store each, with a savepoint of its own; what they say at
once is written at once. A question changes nothing, so that no step follows it.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from protos.errors import ConciliumError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
_log = structlog.get_logger("conductor")
_AT_ONCE: Final = 64
"""So many of what sites say are written together."""


class Kind(enum.Enum):
    """What an ask is to the loop: whether others may be with it, and whether steps follow."""

    ALONE = "an act that is done before the next"
    SAID = "one change of the store, which others may be written with"
    LOOKS = "a question, or a word, after which nothing is due that was not before"


@dataclass(frozen=True, slots=True)
class _Ask:
    do: Callable[[], Awaitable[Any]]
    kind: Kind
    future: asyncio.Future[Any]


class Asks:
    """The queue of what is asked."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[_Ask] = asyncio.Queue()
        self._nudged = False

    def __len__(self) -> int:
        """Return how much waits for an answer."""
        return self._queue.qsize()

    async def ask(self, do: Callable[[], Awaitable[T]], kind: Kind = Kind.ALONE) -> T:
        """Have something done in its turn; return what it returns, or raise what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Ask(do, kind, future))
        return await future

    def nudge(self) -> None:
        """Have the loop look again at what is due, soon; once, however often it is asked."""
        if not self._nudged:
            self._nudged = True
            future = asyncio.get_running_loop().create_future()
            self._queue.put_nowait(_Ask(self._awake, Kind.SAID, future))

    async def _awake(self) -> None:
        """Do nothing; the loop looks again at what is due."""
        self._nudged = False

    async def answer(self, *, until_s: float, with_them: Callable[[], None]) -> None:
        """Answer what is asked, until something was done or the loop's time has come.

        Where what sites say comes last, `with_them` begins what is to be written behind it, and
        with it.
        """
        clock_s = asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout_at(until_s):
                    ask = await self._queue.get()
            except TimeoutError:
                return None
            if ask.kind is not Kind.LOOKS:
                return await self._all(ask, with_them)
            await _answer(ask)
            if clock_s() >= until_s:  # no timeout comes where the next one is there already
                return None

    async def _all(self, ask: _Ask, with_them: Callable[[], None]) -> None:
        """Answer an ask and all that wait behind it: steps follow once for all of them."""
        asks = [ask]
        while len(asks) < _AT_ONCE and not self._queue.empty():
            asks.append(self._queue.get_nowait())
        for kind, group in itertools.groupby(asks, key=lambda one: one.kind):
            if kind is Kind.SAID:
                said = list(group)
                answers = asyncio.gather(*(_answer(one) for one in said))
                if said[-1] is asks[-1]:
                    with_them()
                await answers
            else:
                for one in group:
                    await _answer(one)


async def _answer(ask: _Ask) -> None:
    future = ask.future
    try:
        result = await ask.do()
    except ConciliumError as problem:
        if not future.cancelled():
            future.set_exception(problem)
        return
    except Exception as bug:  # noqa: BLE001 - ours: logged, given to who asked, loop goes on
        _log.exception("bug")
        if not future.cancelled():
            future.set_exception(bug)
        return
    if not future.cancelled():
        future.set_result(result)
