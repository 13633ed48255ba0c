"""The processes of a rehearsal: started by their ordinary command lines, watched, ended.

A program that ends although nobody asked it to is started again, as an operating system's
supervisor would; each dies with the rehearsal.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance import terminal
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_PORT, _PORT_COUNT = 20_000, 12_000
_PORTS: Final = (
    _FIRST_PORT + number % _PORT_COUNT
    for number in itertools.count(secrets.randbelow(_PORT_COUNT))
)
_GRACE_S: Final = 5.0
_RESTARTS: Final = 20
_CHILD: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Has the kernel kill a program with its parent, and becomes that program.

Not a `preexec_fn`: gRPC, once loaded here, bears no fork.
"""


def program(name: str) -> str:
    """Return the path of one of the three programs, beside the interpreter that runs."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on.

    It lies below those that systems give to connections (RFC 6335 from 49152, Linux from
    32768), so that none takes it before a server does; no port is returned twice.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports have no end")


def run(command: Sequence[str], *, exits: Sequence[int] = (0,)) -> str:
    """Run a command to its end and return what it answered."""
    return finished(command, exits=exits).stdout


def finished(
    command: Sequence[str], *, exits: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it answered is in `stdout`, what it told in `stderr`.

    Raises:
        Refused: it ended with another exit code; what it complained of is in the sentence.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode not in exits:
        raise Refused(
            f"{Path(command[0]).name} {command[1]} ended with exit code {done.returncode}:\n"
            f"{done.stderr.strip().removeprefix('error: ')}",
            rule="rehearsal",
        )
    return done


def together(
    commands: Sequence[Sequence[str]],
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands at the same time; they come back in order."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        return list(pool.map(finished, commands))


@dataclass(slots=True)
class Actor:
    """One long-lived program."""

    name: str
    command: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0

    def start(self) -> None:
        """Start it, or start it again; what it logs is appended to its file."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", "-c", _CHILD, str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process is not None and self.process.poll() is not None


@dataclass(slots=True)
class Stage:
    """All long-lived programs of a rehearsal."""

    actors: list[Actor] = field(default_factory=list)

    def enter(self, name: str, command: Sequence[str], log: Path) -> Actor:
        """Start a program."""
        actor = Actor(name, tuple(command), log)
        actor.start()
        self.actors.append(actor)
        return actor

    def watch(self) -> None:
        """Start again what has ended.

        Raises:
            Refused: a program ends again and again; the end of its log is in the sentence.
        """
        for actor in self.actors:
            if not actor.ended:
                continue
            actor.restarts += 1
            if actor.restarts > _RESTARTS:
                tail = actor.log.read_text(errors="replace")[-800:]
                raise Refused(f"{actor.name} ends again and again:\n{tail}", rule="rehearsal")
            terminal.tell(f"{actor.name} has ended; it is started again and goes on.")
            actor.start()

    def leave(self) -> None:
        """End every program: ask, wait, and kill what does not listen."""
        for actor in reversed(self.actors):
            if actor.process is not None and not actor.ended:
                actor.process.terminate()
        for actor in self.actors:
            if actor.process is None:
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                actor.process.wait(_GRACE_S)
            if not actor.ended:
                actor.process.kill()
                actor.process.wait()
        self.actors.clear()
