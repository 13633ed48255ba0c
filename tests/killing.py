"""A program that is killed at an instruction of its own, as a power cut would, or interrupted.

What runs is the program itself, with one function of it wrapped.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
from typing import NamedTuple


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def hang():
    sys.stderr.write('{"event": "hangs"}\n')
    sys.stderr.flush()
    threading.Event().wait()


BEFORE, AFTER, INTERRUPTED, HANGS = "before", "after", "interrupted", "hangs"
_FIRST = {BEFORE: die, INTERRUPTED: interrupt, HANGS: hang}


class Point(NamedTuple):
    """Where a program ends: a function of a module or class, before or after it.

    At its call number `turn`, or, where `wanted` is given, at the first whose result it wants.
    """

    where: str
    name: str
    when: str
    turn: int = 1
    wanted: object = None


def plant(point):
    """Have this process killed at a point."""
    owner = _owner(point.where)
    truly = getattr(owner, point.name)
    calls = []

    @functools.wraps(truly)
    def deadly(*given, **more):
        calls.append(1)
        due = len(calls) == point.turn
        if due and point.when in _FIRST:
            _FIRST[point.when]()
        result = truly(*given, **more)
        if point.when == AFTER and (point.wanted(result) if point.wanted else due):
            die()
        return result

    setattr(owner, point.name, deadly)


def _owner(where):
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError:
        module, _, name = where.rpartition(".")
        return getattr(importlib.import_module(module), name)
