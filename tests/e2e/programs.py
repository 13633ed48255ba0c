"""The three programs as their users start them, and what they said."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

COORDINATOR: Final = Path(sys.executable).with_name("concilium-coordinator")
SITE: Final = Path(sys.executable).with_name("concilium-site")
LEDGER: Final = Path(sys.executable).with_name("concilium-ledger")
PATIENCE_S: Final = 600.0
"""How long anything may take on a machine that has other things to do."""
_CHILD: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Ends with the tests at the latest, and hears Ctrl-C, which a shell's background job ignores.

Not a `preexec_fn`: gRPC, once loaded in the tests' own process, bears no fork.
"""


@dataclass(frozen=True)
class Said:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def sentences(self) -> str:
        """Its errors without the log's lines."""
        lines = self.err.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("{"))


def call(*argv: object, **how: object) -> Said:
    """Run a program to its end; `how` is subprocess's, and `patience_s`."""
    patience_s = how.pop("patience_s", PATIENCE_S)
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience_s,
        **how,
    )
    return Said(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def done(*argv: object, **how: object) -> str:
    """Run a program that must succeed, and return what it printed."""
    said = call(*argv, **how)
    assert said.code == 0, said
    return said.out


def refused(said: Said, *words: str, code: int = 2, told_before: bool = False) -> Said:
    """Hold that a program ended with one sentence and its code: what is wrong and what to do.

    It is all that was said, unless there was something to tell before.
    """
    assert said.code == code, said
    assert "Traceback" not in said.out + said.err, said.err
    assert said.sentences.startswith("error: ") or told_before, said
    assert len(re.findall(r"(?m)^error: ", said.sentences)) == 1, said
    sentence = said.sentences[said.sentences.index("error: ") :]
    assert re.match(r"error: .+ \[[a-z0-9-]+\]\n", sentence), sentence
    for word in words:
        assert word in sentence, sentence
    return said


def limit_s(seconds: float) -> float:
    """Return a limit for a machine that does nothing else, widened where it does."""
    return seconds * max(1.0, 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1))


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(child) for child in told.split()]


class Running:
    """A long-lived program in a process group of its own; what it says is heard at once."""

    def __init__(self, *argv: object, **how: object) -> None:
        self._argv, self._how = [str(word) for word in argv], how
        self._child = [sys.executable, "-I", "-S", "-c", _CHILD]
        self._news = threading.Condition()
        self.lines: list[str] = []
        self.out: list[str] = []
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self._heard, self._over = 0, False
        self.process = subprocess.Popen(
            [*self._child, *self._argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **self._how,
        )
        self._ears = [
            threading.Thread(target=self._hear, args=(pipe, lines), daemon=True)
            for pipe, lines in (
                (self.process.stderr, self.lines),
                (self.process.stdout, self.out),
            )
        ]
        for ear in self._ears:
            ear.start()

    def _hear(self, pipe, lines) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._over = self._over or lines is self.lines
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def until(self, pattern: str, *, patience_s: float = PATIENCE_S) -> str:
        """Wait for a new line that fits a pattern, and return it."""

        def fitting():
            while self._heard < len(self.lines):
                line = self.lines[self._heard]
                self._heard += 1
                if re.search(pattern, line):
                    return line
            return "" if self._over else None

        with self._news:
            line = self._news.wait_for(fitting, patience_s)
        assert line, f"{self._argv[:2]} did not say {pattern}:\n{self.said[-3000:]}"
        return line

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def signal(self, number: int) -> None:
        """Send a signal to the program and its children, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def ended(self, *, patience_s: float = PATIENCE_S) -> Said:
        """Wait for its end."""
        began = time.monotonic()
        code = self.process.wait(patience_s)
        took = time.monotonic() - began
        for ear in self._ears:
            ear.join(PATIENCE_S)
        return Said(code, "".join(self.out), self.said, took)

    def interrupt(self) -> Said:
        """Press Ctrl-C, and wait for the end."""
        self.signal(signal.SIGINT)
        return self.ended()

    def kill(self) -> None:
        """Kill it at once, as a power cut does."""
        self.process.kill()
        self.ended()

    def end(self) -> None:
        """End whatever is left of it and its children."""
        if self.alive:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.signal(signal.SIGKILL)
        self.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
