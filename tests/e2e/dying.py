"""An agent that is killed at a named instruction of a task.

Run as `python dying.py POINT SITE_FILE`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from killing import AFTER, BEFORE, Point, plant


def reserves(words):
    """Tell whether a reservation is among the words that are about to be sent."""
    from governance import statements

    envelopes = (getattr(word.body, "envelope", None) for word in words)
    said = [statements.read(one).kind for one in envelopes if one is not None]
    return "budget-reserved" in said


NOWHERE, STORED, LOGGED = "nowhere", "in its store", "in its store and in the log"


class Death(NamedTuple):
    """Where an agent dies, and where the reservation of its task then is."""

    point: Point
    reserved: str


POINTS = {
    "nothing-stored": Death(Point("site_agent.store.work", "reserve", BEFORE), NOWHERE),
    "stored-and-not-committed": Death(
        Point("site_agent.store.work", "reserve", AFTER), NOWHERE
    ),
    "stored-and-not-sent": Death(
        Point("site_agent.store.letters", "unsent", AFTER, wanted=reserves), STORED
    ),
    "in-the-log-and-not-heard-of": Death(
        Point("site_agent.inbox", "_reservation", BEFORE), LOGGED
    ),
    "heard-of-and-not-committed": Death(
        Point("site_agent.inbox", "_reservation", AFTER), LOGGED
    ),
    "in-the-middle-of-training": Death(
        Point("site_agent.workshop.Workshop", "_progress", BEFORE), LOGGED
    ),
    "trained-and-not-kept": Death(Point("site_agent.contribution", "keep", BEFORE), LOGGED),
    "kept-and-not-said": Death(Point("site_agent.contribution", "_said", BEFORE), LOGGED),
    "said-and-not-sent": Death(Point("site_agent.contribution", "_said", AFTER), LOGGED),
    "sent-and-not-settled": Death(Point("site_agent.contribution", "sent", BEFORE), LOGGED),
    "settled": Death(Point("site_agent.housekeeping", "tidy", BEFORE), LOGGED),
}


if __name__ == "__main__":
    from site_agent import cli, member  # noqa: F401 - every module is there to be wrapped

    name, file = sys.argv[1:]
    plant(POINTS[name].point)
    sys.argv = ["concilium-site", "run", "--site", file]
    cli.main()
