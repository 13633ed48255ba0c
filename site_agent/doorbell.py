"""How the command line reaches the running agent: a Unix socket in the state folder.

It carries no orders. A verb writes what it has to say into the store and rings, so that it
works as well when no agent runs; and it may ask how the agent is.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

_NAME: Final = "agent.sock"
_PATIENCE_S: Final = 2.0
_LINE_LIMIT: Final = 1 << 20


@asynccontextmanager
async def listening(
    folder: Path, *, ring: Callable[[], None], status: Callable[[], Mapping[str, Any]]
) -> AsyncIterator[None]:
    """Answer the bell of a state folder: any call rings, and is told the agent's status."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await reader.readline()
            ring()
            writer.write(json.dumps(status()).encode() + b"\n")
            async with asyncio.timeout(_PATIENCE_S):
                await writer.drain()
        except (OSError, TimeoutError):
            return  # whoever rang is gone; what it wrote is in the store
        finally:
            writer.close()

    with _short(folder) as place:
        take_down(folder)
        former = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(answer, path=place)
        finally:
            os.umask(former)
        try:
            yield
        finally:
            server.close()
            take_down(folder)


def take_down(folder: Path) -> None:
    """Take the bell away, also one that a process left which was killed."""
    (folder / _NAME).unlink(missing_ok=True)


def ring(folder: Path) -> dict[str, Any] | None:
    """Ring the agent of a state folder; return its status, or None when none runs."""
    if not (folder / _NAME).exists():
        return None
    try:
        with _short(folder) as place, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_PATIENCE_S)
            line.connect(place)
            line.sendall(b"ring\n")
            with line.makefile("rb") as answer:
                told = json.loads(answer.readline(_LINE_LIMIT))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Give the socket's path in under 108 bytes, the most that a Unix socket may have."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{_NAME}"
    finally:
        os.close(handle)
