"""When a round may open, and when the agreement has reached its end.

A window is hours of some days in one time zone, as `governance.hours` counts them: where a
clock change leaves a doubt, the window is the shorter.
"""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from governance.figures import HIGHER_IS_BETTER
from governance.hours import DAYS, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from governance.agreement.party_terms import Schedule, Stop, Window

_DAY_S: Final = 86_400


def is_open(window: Window | None, now: datetime) -> bool:
    """Return whether a moment is inside the window; always where there is none."""
    return window is None or _end_of_opening(window, now.astimezone(UTC)) is not None


def may_open(window: Window | None, now: datetime, deadline_s: int) -> bool:
    """Return whether a round may open now: the window is open till its deadline has passed.

    Openings that follow one another without a gap count as one, so a window of whole days lets
    a round go over midnight.
    """
    if window is None:
        return True
    now = now.astimezone(
        UTC
    )  # a zone's own times add and compare as its clock on the wall does
    needed = now + timedelta(seconds=deadline_s)
    end = _end_of_opening(window, now)
    while end is not None and end < needed:
        further = _end_of_opening(window, end)
        end = further if further is not None and further > end else None
    return end is not None


def next_opening(window: Window | None, now: datetime, deadline_s: int = 0) -> datetime | None:
    """Return the first moment from now on at which a round may open, in UTC.

    None when no opening of the window is as long as the deadline.
    """
    now = now.astimezone(UTC)
    if may_open(window, now, deadline_s):
        return now
    assert window is not None
    for span in spans(window, now, days=15, widest=False):
        if span.start >= now and may_open(window, span.start, deadline_s):
            return span.start
    return None


def longest_opening_s(window: Window) -> float:
    """Return how long the window stays open, in seconds; clock changes are left aside."""
    length = (_clock(window.to) - _clock(window.from_)) % _DAY_S
    if length:
        return length
    week = "".join("x" if day in window.days else " " for day in DAYS)
    run = max(len(days) for days in (week * 2).split())
    return math.inf if run >= len(DAYS) else run * _DAY_S


class Ending(enum.StrEnum):
    """By what an agreement is complete; the value is what its last entry says."""

    ROUNDS = "rounds-done"
    TARGET = "target-reached"
    PATIENCE = "no-better"


def ending_of(schedule: Schedule, rounds: int, history: Sequence[float]) -> Ending | None:
    """Return by what a schedule is at its end, whichever comes first; None while it goes on.

    Args:
        schedule: What was agreed on.
        rounds: How many are closed.
        history: The metric of `stop` after each evaluation of a committed model, oldest first.
    """
    early = _stopped(schedule.stop, history)
    if early is None and rounds >= schedule.rounds:
        return Ending.ROUNDS
    return early


def _stopped(stop: Stop | None, history: Sequence[float]) -> Ending | None:
    """Return which of a target and patience the figures so far have come to."""
    if stop is None or not history:
        return None
    sign = 1.0 if stop.metric in HIGHER_IS_BETTER else -1.0
    figures = [sign * figure for figure in history]
    if stop.reached is not None and figures[-1] >= sign * stop.reached:
        return Ending.TARGET
    if stop.patience is None:
        return None
    best = max(range(len(figures)), key=figures.__getitem__)  # the first of equals
    return Ending.PATIENCE if len(figures) - 1 - best >= stop.patience else None


def _end_of_opening(window: Window, now: datetime) -> datetime | None:
    open_now = (span for span in spans(window, now, days=2, widest=False) if span.holds(now))
    return max((span.end for span in open_now), default=None)


def _clock(text: str) -> int:
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60
