"""A network of its own for each hospital, and a cable from it to the coordinator's.

Network namespaces, joined by veth pairs of 20 Mbit/s: a cable that is pulled drops packets and
says nothing to either end, which no relay can do. All of it ends with the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import faults

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = (
    faults.PARTITION, faults.KILL, faults.KILL_AT, faults.KILL_WORKER, faults.KILL_BOTH,
)  # fmt: skip
"""What befalls a federation here."""
COORDINATOR: Final = "10.77.0.1"
_APART: Final = ("unshare", "--net", "--mount", "--propagation", "private")
_INSIDE: Final = "CONCILIUM_CHAOS_INSIDE"
_SHAPED: Final = ("tbf", "rate", "20mbit", "burst", "64kb", "latency", "400ms")
_LOSSY: Final = ("netem", "delay", "50ms", "loss", "2%", "rate", "20mbit")
"""Of each end; not every kernel has it."""


def can_be_laid() -> bool:
    """Tell whether this machine has the tools and lets us."""
    tools = ("unshare", "nsenter", "mount", "ip", "tc")
    return (
        all(shutil.which(tool) for tool in tools)
        and subprocess.run([*_APART, "true"], capture_output=True, check=False).returncode == 0
    )


def go_inside(argv: Sequence[str]) -> None:
    """Become a process that has a network of its own; once."""
    if _INSIDE not in os.environ:
        os.environ |= {_INSIDE: "1", "GRPC_DNS_RESOLVER": "native"}  # which reads /etc/hosts
        os.execvp(_APART[0], [*_APART, sys.executable, *argv])
    _run("ip", "link", "set", "lo", "up")


@dataclass(eq=False)
class Cable:
    """One hospital's: the process that holds its network, and how many pull it now."""

    number: int
    holder: subprocess.Popen[bytes]
    port: int
    pulled: int = 0
    times: int = 0

    @property
    def ours(self) -> str:
        """The end that lies at the coordinator."""
        return f"cable{self.number}"

    def run(self, *command: str) -> None:
        _run(*self.inside(), *command)

    def inside(self) -> tuple[str, ...]:
        """Return what a command is put behind to run in the hospital's network."""
        return (shutil.which("nsenter"), "--target", str(self.holder.pid), "--net", "--mount")


class Wires:
    """Every hospital's cable; a context manager, inside a network of our own."""

    def __init__(self, port: int, names: tuple[str, ...]) -> None:
        self._port, self._names = port, names
        self.lines: dict[str, Cable] = {}
        self._again: list[threading.Timer] = []

    def __enter__(self) -> Self:
        _run("ip", "address", "add", f"{COORDINATOR}/32", "dev", "lo")
        for number, name in enumerate(self._names):
            self.lines[name] = _laid(number, self._port)
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._again:
            timer.cancel()
        for cable in self.lines.values():
            cable.holder.kill()
            cable.holder.wait()
        _run("ip", "address", "del", f"{COORDINATOR}/32", "dev", "lo")

    def before(self, name: str) -> tuple[str, ...]:
        """Return what a program's command is put behind."""
        return self.lines[name].inside() if name in self.lines else ()

    def do(self, fault: faults.Fault) -> None:
        """Pull cables for a while; no other fault is known here."""
        if fault.kind != faults.PARTITION:
            raise ValueError(f"a cable cannot {fault.kind}")
        for name in fault.whom:
            cable = self.lines[name]
            cable.pulled, cable.times = cable.pulled + 1, cable.times + 1
            _run("ip", "link", "set", cable.ours, "down")
            again = threading.Timer(fault.seconds, self._plugged, (cable,))
            again.start()
            self._again.append(again)

    def figures(self) -> dict[str, dict[str, int]]:
        """Return how often each cable was pulled."""
        return {"pulled": {name: cable.times for name, cable in self.lines.items()}}

    @staticmethod
    def _plugged(cable: Cable) -> None:
        cable.pulled -= 1
        if not cable.pulled:
            _run("ip", "link", "set", cable.ours, "up")


def _laid(number: int, port: int) -> Cable:
    """Make a hospital's network in which `localhost` is the coordinator, and its cable."""
    sleeps = "import sys; print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [*_APART, sys.executable, "-I", "-S", "-c", sleeps],
        stdin=subprocess.PIPE,  # it ends with us
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    cable = Cable(number, holder, port)
    ours, theirs, net = cable.ours, f"far{number}", f"10.77.{number + 1}"
    _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
    _run("ip", "link", "set", theirs, "netns", str(holder.pid))
    _run("ip", "address", "add", f"{net}.1/30", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    cable.run("ip", "link", "set", "lo", "up")
    cable.run("ip", "address", "add", f"{net}.2/30", "dev", theirs)
    cable.run("ip", "link", "set", theirs, "up")
    cable.run("ip", "route", "add", COORDINATOR, "via", f"{net}.1")
    _shaped((), ours)
    _shaped(cable.inside(), theirs)
    hosts = Path(f"/run/chaos-hosts-{holder.pid}")
    hosts.write_text(f"{COORDINATOR} localhost\n", encoding="ascii")
    cable.run("mount", "--bind", str(hosts), "/etc/hosts")
    hosts.unlink()
    return cable


def _shaped(inside: tuple[str, ...], device: str) -> None:
    add = (*inside, "tc", "qdisc", "add", "dev", device, "root")
    if subprocess.run([*add, *_LOSSY], capture_output=True, check=False).returncode:
        _run(*add, *_SHAPED)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
