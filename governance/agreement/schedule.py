"""When a round may open, and when the agreement has reached its end.

A window is hours of some days in one time zone; it belongs to the day on which it begins, also
where it goes over midnight; the same hour twice is a whole day. Hours are of the clock on the
wall: a night on which it is set back has an hour more. A time that comes twice that night, or
never in spring, counts so that the window is the shorter.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from governance.figures import HIGHER_IS_BETTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from governance.agreement.party_terms import Stop, Window

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
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
    for start, _ in _openings(window, now, days=15):
        if start >= now and may_open(window, start, deadline_s):
            return start
    return None


def longest_opening_s(window: Window) -> float:
    """Return how long the window stays open, in seconds; clock changes are left aside."""
    length = (_clock(window.to) - _clock(window.from_)) % _DAY_S
    if length:
        return length
    week = "".join("x" if day in window.days else " " for day in _DAYS)
    run = max(len(days) for days in (week * 2).split())
    return math.inf if run >= len(_DAYS) else run * _DAY_S


def stop_reached(stop: Stop | None, history: Sequence[float]) -> bool:
    """Return whether the figures of the committed models so far say that it is enough.

    Args:
        stop: What was agreed on: a figure to reach, evaluations without a better one, or both,
            whichever comes first.
        history: The metric after each evaluation, oldest first.
    """
    if stop is None or not history:
        return False
    sign = 1.0 if stop.metric in HIGHER_IS_BETTER else -1.0
    figures = [sign * figure for figure in history]
    if stop.reached is not None and figures[-1] >= sign * stop.reached:
        return True
    if stop.patience is None:
        return False
    best = max(range(len(figures)), key=figures.__getitem__)  # the first of equals
    return len(figures) - 1 - best >= stop.patience


def _end_of_opening(window: Window, now: datetime) -> datetime | None:
    ends = [end for start, end in _openings(window, now, days=2) if start <= now < end]
    return max(ends, default=None)


def _openings(
    window: Window, now: datetime, *, days: int
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the window's openings around a moment, from the day before on, as UTC instants."""
    zone = ZoneInfo(window.zone)
    today = now.astimezone(zone).date()
    for offset in range(-1, days):
        day = today + timedelta(days=offset)
        if _DAYS[day.weekday()] in window.days:
            last = day if window.to > window.from_ else day + timedelta(days=1)
            _, start = _instants(day, window.from_, zone)
            end, _ = _instants(last, window.to, zone)
            yield start, end


def _instants(day: date, clock: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the earlier and the later instant at which a clock may be said to show this."""
    at = datetime.combine(day, time.fromisoformat(clock), tzinfo=zone)
    first, second = sorted(at.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _clock(text: str) -> int:
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60
