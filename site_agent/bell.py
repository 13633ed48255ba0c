"""A bell that everybody hears who listens: something in the store may have changed.

Who knows what changed rings for that alone, and wakes only those whom it concerns.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Final


class Topic(enum.Enum):
    """What may have changed; a ring that names none is about all of them."""

    WORK = "tasks, and what they wait for"
    MAIL = "what waits to be sent"
    HEADS = "what the witness is to look at"
    LOG = "the copy of the ledger"
    NEWS = "what comes seldom: agreements, certificates, final models"


class Rings:
    """Rings that are counted; a listener waits for one after those that it has counted."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def one_more(self) -> None:
        """Count a ring, and wake everybody who listens."""
        self.count += 1
        heard, self._next = self._next, asyncio.Event()
        heard.set()

    async def after(self, count: int) -> None:
        """Wait until it was rung more often than this."""
        while self.count <= count:
            await self._next.wait()

    async def within(self, count: int, seconds: float) -> bool:
        """Wait as `after` does, but not longer; tell whether it was rung."""
        try:
            async with asyncio.timeout(seconds):
                await self.after(count)
        except TimeoutError:
            return False
        return True


class Bell(Rings):
    """Rung any number of times; its own rings are those about anything."""

    def __init__(self) -> None:
        super().__init__()
        self._about: Final = {topic: Rings() for topic in Topic}

    def of(self, topic: Topic) -> Rings:
        """Return the rings that are about one topic."""
        return self._about[topic]

    def ring(self, *topics: Topic) -> None:
        """Wake whoever listens to one of these topics, or everybody."""
        for topic in topics or Topic:
            self._about[topic].one_more()
        self.one_more()
