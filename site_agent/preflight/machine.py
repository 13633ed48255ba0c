"""The machine: room on the disk, memory, and whether the training worker starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance.findings import ADMINISTRATOR, IT, Finding, fine, look, stops
from site_agent.policy import largest_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.schema import Agreement
    from governance.settings import SiteSettings

GIB: Final = 1 << 30
_LEAST_DISK: Final = GIB
_FILES_AT_ONCE: Final = 6
"""Model, state, update, control variate old and new, and a final model."""
_TORCH_S: Final = 120.0
_WORKER_MEMORY: Final = GIB
"""What torch, Opacus and a small model take."""


def size_text(size_bytes: float) -> str:
    """Return a size for eyes."""
    for unit, shown in (("GiB", GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= shown:
            return f"{size_bytes / shown:.1f} {unit}"
    return f"{size_bytes:.0f} bytes"


def disk(settings: SiteSettings, agreement: Agreement | None) -> Finding:
    """Compare the room in the state folder with what a round writes there."""
    folder = settings.state
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    need = _LEAST_DISK // 4
    if agreement is not None:
        need += _FILES_AT_ONCE * largest_file(agreement)
    said = f"{size_text(free)} free for {settings.state}"
    todo = f"Make room: at least {size_text(max(need, _LEAST_DISK))} free."
    if free < need:
        return stops("disk", said, who=IT, todo=todo)
    if free < _LEAST_DISK:
        return look("disk", said, who=IT, todo=todo)
    if not os.access(folder, os.W_OK):
        todo = f"Let the agent's user write into {folder}."
        return stops("disk", f"{folder} cannot be written", who=IT, todo=todo)
    return fine("disk", said)


def memory(settings: SiteSettings, agreement: Agreement | None) -> Finding:
    """Compare this machine's memory with what the agreement asks for."""
    have, free = _memory()
    wanted = agreement.sites.requires.memory if agreement is not None else None
    said = f"{size_text(have)}, {size_text(free)} of it free"
    if wanted is not None and have < wanted:
        todo = f"The agreement asks for {size_text(wanted)}: give this machine more."
        return stops("memory", said, who=IT, todo=todo)
    if free < _WORKER_MEMORY:
        todo = f"The training worker wants about {size_text(_WORKER_MEMORY)}: free some."
        return look("memory", said, who=IT, todo=todo)
    limit = settings.resources.memory
    if limit is not None and wanted is not None and limit < wanted:
        todo = (
            f"`resources.memory` is below the {size_text(wanted)} that the agreement asks for."
        )
        return look("memory", said, who=ADMINISTRATOR, todo=todo)
    return fine("memory", said)


def _memory() -> tuple[int, int]:
    """Return how many bytes this process may have in all, and how many are free."""
    told = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text("ascii").splitlines()
    )
    have, free = (int(told[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit, used = (_group(name) for name in ("memory.max", "memory.current"))
    if limit is not None:
        have = min(have, limit)
        free = min(free, max(0, limit - (used or 0)))
    return have, free


def _group(name: str) -> int | None:
    """Return a figure of this process's control group, where there is one."""
    try:
        inside = Path("/proc/self/cgroup").read_text("ascii").strip().rpartition("::")[2]
        for folder in (Path("/sys/fs/cgroup") / inside.lstrip("/"), Path("/sys/fs/cgroup")):
            if (folder / name).exists():
                text = (folder / name).read_text("ascii").strip()
                return int(text) if text.isdigit() else None
    except (OSError, ValueError):
        return None
    return None


def libraries() -> Iterator[Finding]:
    """Look whether the packages that train are installed; the worker then loads them."""
    missing = []
    found = []
    for name in ("torch", "opacus"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield stops(
            "torch and Opacus",
            f"{' and '.join(missing)} not installed",
            who=ADMINISTRATOR,
            todo="Install them: pip install 'concilium[site]'",
        )
    else:
        yield fine("torch and Opacus", ", ".join(found))


def device(settings: SiteSettings) -> Finding:
    """Look whether torch sees the device that site.yaml names."""
    wanted = settings.resources.device
    if wanted != "cuda":
        return fine("device", "cpu")
    ask = "import torch; print(torch.cuda.device_count())"
    try:
        done = subprocess.run(  # noqa: S603 - this program's own interpreter
            [sys.executable, "-I", "-c", ask],
            capture_output=True,
            text=True,
            timeout=_TORCH_S,
            check=False,
        )
        seen = int(done.stdout.strip() or 0)
    except (subprocess.TimeoutExpired, ValueError):
        seen = 0
    if seen:
        return fine("device", f"torch sees {seen} of cuda")
    todo = "Mend the driver or install torch for it; or say `resources: {device: cpu}`."
    return stops("device", "torch sees no cuda device", who=IT, todo=todo)


def threads(settings: SiteSettings) -> Finding:
    """Compare the threads of site.yaml with this machine's cores."""
    cores = len(os.sched_getaffinity(0))
    said = f"{settings.resources.threads} threads on {cores} cores"
    if settings.resources.threads > cores:
        todo = f"Say `resources: {{threads: {cores}}}` in site.yaml: more only wait."
        return look("threads", said, who=ADMINISTRATOR, todo=todo)
    return fine("threads", said)
