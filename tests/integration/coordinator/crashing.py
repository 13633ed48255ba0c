"""A coordinator that is killed at a named instruction, as a power cut would, or interrupted.

Run as `python crashing.py POINT FOLDER`; it is the program itself, with one function wrapped.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading

BEFORE, AFTER, INTERRUPTED, HANGS = "before", "after", "interrupted", "hangs"

# Where: the module or class, the function, before or after it, at which call of it.
POINTS = {
    "agreement-being-put-in-force": ("coordinator.heads", "publish", BEFORE, 1),
    "round-being-opened": ("coordinator.campaign", "open_round", AFTER, 1),
    "update-whole-and-not-in-the-ledger": ("coordinator.uploads", "enter", BEFORE, 2),
    "update-in-the-ledger-and-not-committed": ("coordinator.uploads", "enter", AFTER, 2),
    "receipt-not-sent": ("protos.codec", "receipt_out", BEFORE, 2),
    "last-receipt-not-sent": ("protos.codec", "receipt_out", BEFORE, 3),
    "sum-not-made": ("coordinator.aggregate", "aggregate", BEFORE, 1),
    "sum-made-and-not-known": ("coordinator.aggregate", "aggregate", AFTER, 1),
    "candidate-being-noted": ("coordinator.store.roundbook", "candidate", AFTER, 1),
    "gate-being-asked": ("coordinator.gate", "judge", BEFORE, 1),
    "round-closed-and-not-committed": ("coordinator.heads", "publish", AFTER, 2),
    "round-closed-and-updates-not-deleted": (
        "coordinator.spool.Spool",
        "delete_attempt",
        BEFORE,
        1,
    ),
    "agreement-being-completed": ("coordinator.ending", "complete", AFTER, 1),
}
OTHER_POINTS = {
    "interrupted-before-the-store-opens": (
        "coordinator.foundation.Foundation",
        "open",
        INTERRUPTED,
        1,
    ),
    "interrupted-before-it-listens": ("coordinator.service", "make_server", INTERRUPTED, 1),
    "a-sum-that-takes-for-ever": ("coordinator.aggregate", "aggregate", HANGS, 1),
}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def hang():
    sys.stderr.write('{"event": "hangs"}\n')
    sys.stderr.flush()
    threading.Event().wait()


_FIRST = {BEFORE: die, INTERRUPTED: interrupt, HANGS: hang}


def plant(point):
    """Have the process killed at a point."""
    where, name, when, turn = {**POINTS, **OTHER_POINTS}[point]
    owner = _owner(where)
    truly = getattr(owner, name)
    calls = []

    @functools.wraps(truly)
    def deadly(*given, **more):
        calls.append(1)
        if when in _FIRST and len(calls) == turn:
            _FIRST[when]()
        result = truly(*given, **more)
        if when == AFTER and len(calls) == turn:
            die()
        return result

    setattr(owner, name, deadly)


def _owner(where):
    import importlib

    try:
        return importlib.import_module(where)
    except ModuleNotFoundError:
        module, _, name = where.rpartition(".")
        return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    from coordinator import cli, service  # noqa: F401 - every module is there to be wrapped

    point, folder = sys.argv[1:]
    plant(point)
    sys.argv = ["concilium-coordinator", "serve", "--folder", folder]
    cli.main()
