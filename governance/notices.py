"""Events that a person should hear of: what stands now, and what of it was told already.

What stands is looked at again and again. A notice is told when it begins to stand, and once
more only if it was over in between; whoever tells it may fail, and tells it again later, each
time after a longer while. What was told is kept by the caller, so that a restart repeats
nothing; a process that is killed between the telling and the keeping tells one notice twice.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from governance import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

_log = structlog.get_logger("notify")

LOOK_EVERY_S: Final = 10.0
"""How often what stands is looked at."""
AGAIN_AFTER: Final = timedelta(seconds=30)
"""After how long a program that failed is run again; twice as long after each more failure."""
AGAIN_AT_THE_LATEST: Final = timedelta(hours=1)
_PATIENCE_S: Final = 60.0
_SAID_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a person should hear of.

    Attributes:
        event: Which of those that the settings can name.
        about: What it is of, such as a hospital or a task; empty where there is only one.
        what: One sentence, without anything of a patient.
        todo: The command or act that mends it.
    """

    event: str
    about: str
    what: str
    todo: str

    @property
    def mark(self) -> str:
        """What tells this notice from others, whatever its sentence says by now."""
        return f"{self.event} {self.about}"


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told: a program with its arguments, of which events, and in whose name."""

    run: tuple[str, ...]
    events: frozenset[str]
    program: str
    name: str


class Teller:
    """Run the listener's program for each notice that is new."""

    def __init__(self, listener: Listener, now: Callable[[], datetime]) -> None:
        self._listener = listener
        self._now = now
        self._failed: dict[str, tuple[int, datetime]] = {}

    async def tell(self, standing: Iterable[Notice], told: frozenset[str]) -> frozenset[str]:
        """Tell what stands and was not told yet; return the marks of what counts as told.

        Args:
            standing: Every notice that stands now.
            told: What the last call returned, also that of a former process.
        """
        wanted = {one.mark: one for one in standing if one.event in self._listener.events}
        self._failed = {mark: held for mark, held in self._failed.items() if mark in wanted}
        after = set(told & wanted.keys())
        for mark, notice in wanted.items():
            if mark not in told and self._is_due(mark) and await self._run(notice):
                after.add(mark)
        return frozenset(after)

    def _is_due(self, mark: str) -> bool:
        return mark not in self._failed or self._now() >= self._failed[mark][1]

    async def _run(self, notice: Notice) -> bool:
        fault = await _told(self._listener.run, message(self._listener, notice, self._now()))
        if not fault:
            self._failed.pop(notice.mark, None)
            _log.info("told", notice=notice.event, about=notice.about)
            return True
        failures = self._failed.get(notice.mark, (0, self._now()))[0]
        wait = min(AGAIN_AFTER * 2 ** min(failures, 16), AGAIN_AT_THE_LATEST)
        self._failed[notice.mark] = (failures + 1, self._now() + wait)
        _log.warning("notify-failed", notice=notice.event, why=fault, again_s=wait.seconds)
        return False


def message(listener: Listener, notice: Notice, now: datetime) -> bytes:
    """Return what the program reads: one JSON object on one line."""
    said: Mapping[str, str] = {
        "event": notice.event,
        "about": notice.about,
        "what": notice.what,
        "todo": notice.todo,
        "program": listener.program,
        "name": listener.name,
        "at": now.isoformat(timespec="seconds"),
    }
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


def kept(marks: frozenset[str]) -> str:
    """Return the marks of what was told as a text to keep."""
    return json.dumps(sorted(marks)) if marks else ""


def read(text: str) -> frozenset[str]:
    """Return the marks that a text keeps."""
    return frozenset(json.loads(text)) if text else frozenset()


async def _told(run: tuple[str, ...], line: bytes) -> str:
    """Run the program on a line; return why it is not told, empty when it is."""
    pipe = asyncio.subprocess.PIPE
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *run, stdin=pipe, stdout=quiet, stderr=pipe, start_new_session=True
        )
    except OSError as problem:
        return f"{run[0]} cannot be run: {problem.strerror}"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, said = await process.communicate(line)
    except TimeoutError:
        return f"{run[0]} did not end within {_PATIENCE_S:.0f} s"
    finally:
        children.kill(process)
        await process.wait()
    if process.returncode == 0:
        return ""
    last = said.decode(errors="replace").strip()[-_SAID_CHARS:]
    return f"{run[0]} ended with {process.returncode}" + (f": {last}" if last else "")
