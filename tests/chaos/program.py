"""One program of a disturbed federation, started again whenever it has died."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from programs import Running, children_of

_ARMED: Final = Path(__file__).with_name("armed.py")


class Program:
    """One program of the federation, started again whenever it has died."""

    def __init__(self, name: str, kind: str, file: Path, before: tuple[str, ...] = ()) -> None:
        self.name, self._kind, self._file = name, kind, file
        self._argv = (*before, sys.executable, _ARMED)
        self.deaths, self.doomed, self.asked, self.due_s = 0, False, False, 0.0
        self._before: list[str] = []
        self.running: Running | None = None
        self.start()

    def start(self, point: str = "-", turn: int = 1) -> None:
        self.doomed, self.asked = point != "-", False
        self.running = Running(*self._argv, self._kind, point, turn, self._file)
        self.due_s = 0.0

    @property
    def lines(self) -> list[str]:
        """What it has said in all its lives."""
        return self._before + (self.running.lines if self.running is not None else [])

    def _over(self, due_s: float) -> None:
        self.deaths += 1
        self._before += self.running.lines
        self.running, self.due_s = None, due_s

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.alive

    def kill(self, *, again_at: float = 0.0) -> None:
        """Kill it as a power cut does; it is started again at that time."""
        if self.running is not None:
            self.running.process.kill()
            self.thaw()  # what it leaves behind ends by itself
            self.running.ended()
            self._over(again_at)

    def ask_to_end(self) -> None:
        """Ask it to end, as systemd does; it is started again once it has."""
        if self.alive:
            self.asked = True
            self.running.process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it where it is, its children too, as a machine that sleeps does."""
        if self.running is not None:
            self.running.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.running is not None:
            self.running.signal(signal.SIGCONT)

    def kill_workers(self) -> int:
        """Kill its children alone."""
        children = children_of(self.pid) if self.alive else []
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return len(children)

    def look(self, now_s: float) -> str:
        """Start it again if it has died; return what is odd about its death."""
        if self.alive:
            return ""
        odd = ""
        if self.running is not None:
            said = self.running.ended()
            if not self._was_to_end(said.code):
                odd = f"{self.name} ended by itself with {said.code}: {said.err[-1500:]}"
            self._over(now_s)
        if now_s >= self.due_s:
            self.start()
        return odd

    def _was_to_end(self, code: int) -> bool:
        """Tell whether it had to end so; asked before it listens, it ends by the signal."""
        if self.doomed and code == -signal.SIGKILL:
            return True
        return self.asked and code in {0, -signal.SIGTERM}

    def stop(self) -> str:
        """Ask it to end; return what is odd about how it did."""
        if not self.alive:
            return ""
        self.running.process.send_signal(signal.SIGTERM)
        code = self.running.process.wait(60)
        self.running.end()
        return "" if code == 0 else f"{self.name} was asked to end, and ended with {code}"
