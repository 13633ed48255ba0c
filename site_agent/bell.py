"""A bell that everybody hears who listens: something in the store may have changed."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung any number of times; a listener waits for a ring after those that it has counted."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who listens."""
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
