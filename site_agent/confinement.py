"""The worker's confinement: no network, the cohorts' files to read, one folder to write.

bubblewrap puts the worker into namespaces of its own (user, mounts, processes, network, IPC,
host name). What is not bound does not exist there: no key, no journal, no copy of the ledger,
no site.yaml. Whoever takes over the worker through a fault in torch finds the patients that it
had anyway, a folder that is read as untrusted, and no way to send anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import governance
import protos
import site_agent
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from governance.settings import SiteSettings
    from site_agent.premises import Premises

BY: Final = "bubblewrap"
"""What confines, in words."""
_PROGRAM: Final = "bwrap"
_PATIENCE_S: Final = 20.0
_HOME: Final = "/tmp"  # noqa: S108 - an empty one, of the worker's own
_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES: Final = ("/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system/cpu")
_PACKAGES: Final[tuple[ModuleType, ...]] = (governance, protos, site_agent)
PARENT: Final = 1
"""The pid that a confined worker sees as its parent's."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a worker sees besides Python and this program.

    Attributes:
        reads: What it may read: the cohorts' files, what decides who never trains, and wheels.
        writes: The one folder that it may write.
    """

    reads: tuple[Path, ...]
    writes: Path

    @classmethod
    def of(cls, settings: SiteSettings, premises: Premises) -> Confinement | None:
        """Return what a hospital's file asks for; None where it says `isolation: none`."""
        if settings.resources.isolation == "none":
            return None
        sources = {cohort.source.csv for cohort in settings.cohorts.values()}
        own = (premises.held_out_secret_path, premises.wheels)
        return cls((*sorted(sources), *own), premises.work)

    def command(self, program: Sequence[str]) -> list[str]:
        """Return the command line that runs a program in the confinement."""
        return [
            _PROGRAM,
            *self._namespaces(),
            *self._files(),
            "--chdir",
            _HOME,
            "--",
            *program,
        ]

    def seen(self) -> tuple[tuple[int, int] | None, ...]:
        """Return which files are bound: one that was replaced since is not seen by a worker."""
        return tuple(_identity(path) for path in self.reads)

    def check(self) -> None:
        """Raise Refused where this machine cannot confine a worker."""
        if shutil.which(_PROGRAM) is None:
            raise _refused(f"there is no {_PROGRAM} on this machine")
        command = self.command([sys.executable, "-I", "-c", ""])
        try:
            ended = subprocess.run(  # noqa: S603 - as the worker will be started
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise _refused(f"{_PROGRAM} does not end") from None
        if ended.returncode != 0:
            said = ended.stderr.strip().splitlines() or ["it says nothing"]
            raise _refused(f"{_PROGRAM} fails: {said[-1]}")

    def _namespaces(self) -> Iterator[str]:
        yield from ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
        yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", _HOME)

    def _files(self) -> Iterator[str]:
        yield from _read("/usr")
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                yield from ("--symlink", str(path.readlink()), str(path))
            elif path.exists():
                yield from _read(path)
        for name in _SYSTEM_FILES:
            yield from ("--ro-bind-try", name, name)
        for device in sorted(Path("/dev").glob("nvidia*")):
            yield from ("--dev-bind-try", str(device), str(device))
        for place in dict.fromkeys((sys.base_prefix, sys.prefix, *map(_folder, _PACKAGES))):
            yield from _read(place)
        for path in self.reads:
            yield from ("--ro-bind-try", str(path.resolve()), str(path))
        yield from ("--bind", str(self.writes), str(self.writes))


def _read(place: str | Path) -> tuple[str, str, str]:
    return "--ro-bind", str(place), str(place)


def _folder(package: ModuleType) -> str:
    return str(Path(package.__path__[0]).resolve())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _refused(what: str) -> Refused:
    return Refused(
        f"the training worker cannot be confined here: {what}",
        todo="Install bubblewrap (Debian: apt-get install bubblewrap) and let this user make "
        "user namespaces; or the officer accepts a worker that is not confined, by "
        "isolation: none under resources and no-isolation under policy.unsafe in site.yaml.",
        rule="no-confinement",
    )
