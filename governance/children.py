"""Ending a process that an event loop started."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process

__all__ = ["kill"]


def kill(child: Process) -> None:
    """Kill a child of the event loop at once; one that has ended is left alone.

    `Process.kill` asks first whether the child has ended. Where it has by then, that takes its
    exit status from the event loop's watcher, which complains of an unknown child and takes
    255 for the status.
    """
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
