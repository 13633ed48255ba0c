"""A TCP relay in the line of each hospital that does to the bytes what networks do.

It knows nothing of what passes: a byte more, less or elsewhere is for TLS to find.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Final

import faults

_PIECE: Final = 64 * 1024
_GONE: Final = "gone"
DELAY_S: Final = 0.1


@dataclass(eq=False)
class Line:
    """One hospital's line: its port, what stands in it now, and what passed, up and down."""

    target: tuple[str, int]
    port: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
    dials: int = 0
    cuts: int = 0
    silent: bool = False
    delay_s: float = 0.0
    spoils: str = ""
    cut_up_at: list[int] = field(default_factory=list)
    cut_down_at: list[int] = field(default_factory=list)
    calls: set[_Call] = field(default_factory=set)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, size: int, *, up: bool) -> bool:
        """Count what passed; tell whether the line is cut there."""
        if up:
            self.up_bytes += size
        else:
            self.down_bytes += size
        passed = self.up_bytes if up else self.down_bytes
        due = self.cut_up_at if up else self.cut_down_at
        if not due or passed < due[0]:
            return False
        del due[0]
        self.cuts += 1
        return True


@dataclass(eq=False)
class _Call:
    """One connection: the site's end and the coordinator's."""

    ends: tuple[asyncio.StreamWriter, ...]
    gone: int | None = None

    def cut(self, *which: int) -> None:
        for number in which or range(len(self.ends)):
            with contextlib.suppress(Exception):
                self.ends[number].transport.abort()


class Cuts:
    """Every hospital's line, in a thread of its own; a context manager."""

    def __init__(self, target: tuple[str, int], names: tuple[str, ...]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._target, self._names = target, names
        self.lines: dict[str, Line] = {}
        self._servers: list[asyncio.Server] = []

    def __enter__(self):
        self._thread.start()
        self._asked(self._listen())
        return self

    def __exit__(self, *_):
        self._asked(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _asked(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        for name in self._names:
            line = Line(self._target)
            line.goes_on.set()
            server = await asyncio.start_server(
                lambda r, w, line=line: self._serve(line, r, w), "127.0.0.1", 0
            )
            line.port = server.sockets[0].getsockname()[1]
            self.lines[name] = line
            self._servers.append(server)

    async def _hang_up(self) -> None:
        for server in self._servers:
            server.close()
        for line in self.lines.values():
            for call in list(line.calls):
                call.cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def before(self, _name: str) -> tuple[str, ...]:
        """Return what a program's command is put behind: nothing, it is on this network."""
        return ()

    def figures(self) -> dict[str, dict[str, int]]:
        """Return how often each hospital dialled, and the bytes that it sent."""
        return {
            "dials": {name: line.dials for name, line in self.lines.items()},
            "up": {name: line.up_bytes for name, line in self.lines.items()},
        }

    # --- what befalls a line ---------------------------------------------------------------

    def do(self, fault: faults.Fault) -> None:
        """Bring a fault about, in a line or in several."""

        async def now() -> None:
            for name in fault.whom:
                self._do(self.lines[name], fault)

        self._asked(now())

    def _do(self, line: Line, fault: faults.Fault) -> None:
        match fault.kind:
            case faults.CUT:
                for call in list(line.calls):
                    call.cut()
            case faults.HALF_OPEN:  # one end is gone, and the other hears nothing of it
                for call in list(line.calls):
                    call.gone = fault.turn
                    call.cut(fault.turn)
            case faults.PARTITION:
                line.silent = True
                line.goes_on.clear()
                self._loop.call_later(fault.seconds, self._speaks, line)
            case faults.SLOW:
                line.delay_s = DELAY_S
                self._loop.call_later(fault.seconds, setattr, line, "delay_s", 0.0)
            case _:
                line.spoils = fault.kind

    @staticmethod
    def _speaks(line: Line) -> None:
        line.silent = False
        line.goes_on.set()

    # --- what passes -----------------------------------------------------------------------

    async def _serve(self, line, reader, writer) -> None:
        line.dials += 1
        await line.goes_on.wait()
        try:
            onward = await asyncio.open_connection(*line.target)
        except OSError:
            writer.transport.abort()
            return
        call = _Call((writer, onward[1]))
        line.calls.add(call)
        ways = [
            asyncio.create_task(self._pass(line, call, reader, onward[1], up=True)),
            asyncio.create_task(self._pass(line, call, onward[0], writer, up=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            line.calls.discard(call)
            call.cut()
            for way in ways:
                way.cancel()

    async def _pass(self, line, call, reader, writer, *, up) -> None:
        """Hand on one direction until its end, or until the line is cut."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if call.gone is not None:
                    continue
                if line.delay_s:
                    await asyncio.sleep(line.delay_s)
                await line.goes_on.wait()
                if not await _handed_on(line, piece, writer, up=up):
                    return
        if call.gone == (0 if up else 1):
            await asyncio.Event().wait()  # until the end that is left hangs up


async def _handed_on(line: Line, piece: bytes, writer: asyncio.StreamWriter, *, up) -> bool:
    """Hand on a piece; tell whether the line still stands."""
    for part in _spoilt(line, piece):
        writer.write(part)
        await writer.drain()
        if line.count(len(part), up=up):
            return False
    if line.spoils != _GONE:
        return True
    line.spoils = ""
    return False


def _spoilt(line: Line, piece: bytes) -> list[bytes]:
    kind, half = line.spoils, len(piece) // 2
    if not kind or half < 8:
        return [piece]
    line.spoils = ""
    match kind:
        case faults.TRUNCATE:
            line.spoils = _GONE
            return [piece[:half]]
        case faults.DUPLICATE:
            return [piece, piece]
        case faults.REORDER:
            return [piece[half:], piece[:half]]
        case _:
            return [piece[:half], bytes([piece[half] ^ 1]), piece[half + 1 :]]
