"""No address takes all places of a port: what one has beyond its share is closed.

gRPC bounds the lines of a port together, and closes each that does not finish its handshake; it
does not ask whose they are. So the coordinator looks, once a second, whom its own accepted
sockets belong to. Lines on which a call is open are a member's, and stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from governance.pacing import Hush

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = structlog.get_logger("crowding")
_FILES: Final = Path("/proc/self/fd")
_MAPPED: Final = "::ffff:"
"""How an IPv4 address is written on a socket that takes both kinds."""
LOOK_EVERY_S: Final = 1.0


async def keep_places(
    ports: frozenset[int], *, share: int, at_work: Callable[[], frozenset[int]]
) -> None:
    """Close what an address has beyond its share of a port's places, for ever.

    Args:
        ports: Those that are listened on.
        share: How many lines of one address a port may have.
        at_work: Returns the remote ports of the lines on which a call is open.
    """
    hush = Hush()
    while _FILES.is_dir():
        try:
            busy = at_work()
            closed = await asyncio.to_thread(thin_out, ports, share=share, at_work=busy)
        except Exception:  # noqa: BLE001 - ours: logged, looked at again, members go on
            _log.exception("bug")
            closed = {}
        for address, count in closed.items():
            more = hush.says("crowded", address, at_s=asyncio.get_running_loop().time())
            if more is not None:
                _log.warning("crowded", address=address, closed=count, **more)
        await asyncio.sleep(LOOK_EVERY_S)


def thin_out(ports: frozenset[int], *, share: int, at_work: frozenset[int]) -> dict[str, int]:
    """Close what each address has beyond its share; return how many lines, by address."""
    numbers = [int(entry.name) for entry in _FILES.iterdir()]
    if len(numbers) <= share:
        return {}
    standing: dict[tuple[str, int], list[_Line]] = defaultdict(list)
    for number in numbers:
        with _handle(number) as handle:
            line = None if handle is None else _line_of(handle, number)
        if line is not None and line.port in ports:
            standing[line.address, line.port].append(line)
    closed: Counter[str] = Counter()
    for lines in standing.values():
        idle = [line for line in lines if line.remote_port not in at_work]
        for line in idle[: max(0, len(lines) - share)]:
            closed[line.address] += _close(line)
    return dict(+closed)


@dataclass(frozen=True, slots=True)
class _Line:
    """A connected socket of this process, by the number of its file and its two ends."""

    number: int
    address: str
    remote_port: int
    port: int


def _close(line: _Line) -> bool:
    """Close a line, unless its number is another file's by now; tell if it was closed."""
    with _handle(line.number) as handle:
        if handle is None or _line_of(handle, line.number) != line:
            return False
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)  # gRPC sees its end, and closes it
        return True


@contextlib.contextmanager
def _handle(number: int) -> Iterator[socket.socket | None]:
    """Give a handle of its own on a socket: what the number stands for may change."""
    try:
        is_one = stat.S_ISSOCK(os.fstat(number).st_mode)
        handle = socket.socket(fileno=os.dup(number)) if is_one else None
    except OSError:
        handle = None
    try:
        yield handle
    finally:
        if handle is not None:
            handle.close()


def _line_of(handle: socket.socket, number: int) -> _Line | None:
    """Return a socket's two ends; None for one that listens, or is of another kind."""
    if handle.family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    try:
        far, near = handle.getpeername(), handle.getsockname()
    except OSError:
        return None
    return _Line(number, far[0].removeprefix(_MAPPED), far[1], near[1])
