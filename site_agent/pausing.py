"""The edge of quiet hours: whether a training works now, pauses, or is given up.

A pause keeps the reservation and what was trained; only a deadline that falls into the quiet
hours ends a training, since after them nothing could be sent any more.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from governance.hours import quiet_ahead

if TYPE_CHECKING:
    from datetime import datetime

    from governance.hours import Hours


class Course(enum.Enum):
    """What a training does at a moment."""

    WORK = "it works"
    PAUSE = "it pauses between two batches"
    GIVE_UP = "it ends: the deadline comes before the quiet hours are over"


@dataclass(frozen=True, slots=True)
class Now:
    """What a training does, and until when at least: None where nothing lies ahead."""

    course: Course
    until: datetime | None


def course_of(hours: Hours | None, now: datetime, deadline: datetime) -> Now:
    """Return what a training that is due at `deadline` does now."""
    quiet = quiet_ahead(hours, now)
    if quiet is None:
        return Now(Course.WORK, None)
    if not quiet.holds(now):
        return Now(Course.WORK, quiet.start)
    if quiet.end >= deadline:
        return Now(Course.GIVE_UP, quiet.end)
    return Now(Course.PAUSE, quiet.end)
