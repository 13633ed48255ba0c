"""An agent that is killed at a named instruction of a task, as a power cut would.

Run as `python dying.py POINT SITE_FILE`; it is the program itself, with one function wrapped.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from typing import NamedTuple

BEFORE, AFTER = "before", "after"


def reserves(words):
    """Tell whether a reservation is among the words that are about to be sent."""
    from governance import statements

    envelopes = (getattr(word.body, "envelope", None) for word in words)
    said = [statements.read(one).kind for one in envelopes if one is not None]
    return "budget-reserved" in said


NOWHERE, STORED, LOGGED = "nowhere", "in its store", "in its store and in the log"


class Point(NamedTuple):
    """Where an agent dies, and where the reservation of its task then is."""

    where: str
    name: str
    when: str
    reserved: str
    wanted: object = None


POINTS = {
    "nothing-stored": Point("site_agent.store.work", "reserve", BEFORE, NOWHERE),
    "stored-and-not-committed": Point("site_agent.store.work", "reserve", AFTER, NOWHERE),
    "stored-and-not-sent": Point(
        "site_agent.store.letters", "unsent", AFTER, STORED, wanted=reserves
    ),
    "in-the-log-and-not-heard-of": Point("site_agent.inbox", "_reservation", BEFORE, LOGGED),
    "heard-of-and-not-committed": Point("site_agent.inbox", "_reservation", AFTER, LOGGED),
    "in-the-middle-of-training": Point(
        "site_agent.workshop.Workshop", "_progress", BEFORE, LOGGED
    ),
    "trained-and-not-kept": Point("site_agent.contribution", "keep", BEFORE, LOGGED),
    "kept-and-not-said": Point("site_agent.contribution", "_said", BEFORE, LOGGED),
    "said-and-not-sent": Point("site_agent.contribution", "_said", AFTER, LOGGED),
    "sent-and-not-settled": Point("site_agent.contribution", "sent", BEFORE, LOGGED),
    "settled": Point("site_agent.housekeeping", "tidy", BEFORE, LOGGED),
}


def plant(point):
    """Have the process killed at a point."""
    owner = _owner(point.where)
    truly = getattr(owner, point.name)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(truly)
    def deadly(*given, **more):
        if point.when == BEFORE:
            die()
        result = truly(*given, **more)
        if point.wanted is None or point.wanted(result):
            die()
        return result

    setattr(owner, point.name, deadly)


def _owner(where):
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError:
        module, _, name = where.rpartition(".")
        return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    from site_agent import cli, member  # noqa: F401 - every module is there to be wrapped

    name, file = sys.argv[1:]
    plant(POINTS[name])
    sys.argv = ["concilium-site", "run", "--site", file]
    cli.main()
