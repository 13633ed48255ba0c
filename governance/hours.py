"""Hours of the week in a time zone, as spans between instants.

A span belongs to the day on which it begins, also where it goes over midnight; the same hour
twice is a whole day. Hours are those of the clock on the wall, so that a night on which it is
set back has an hour more. A time that comes twice that night, or never in spring, is two
instants: a permission (a window in which rounds may run) counts from the later and to the
earlier, a prohibition (a hospital's quiet hours) from the earlier and to the later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD_DAYS: Final = 15
"""Two weeks and a day: every span of a week comes within it, whatever the clocks do."""


class Hours(Protocol):
    """Hours of some days in a time zone; `to` not after `from` is the next day."""

    @property
    def days(self) -> Sequence[str]:
        """Days as in `DAYS`."""

    @property
    def from_(self) -> str:
        """HH:MM."""

    @property
    def to(self) -> str:
        """HH:MM."""

    @property
    def zone(self) -> str:
        """A name of the tz database."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The instants from `start` on and before `end`, in UTC."""

    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment is within."""
        return self.start <= moment < self.end


def spans(hours: Hours, now: datetime, *, days: int, widest: bool) -> Iterator[Span]:
    """Yield the spans that begin from the day before `now` on, for so many days.

    Args:
        hours: Of which days, from when to when.
        now: With a zone.
        days: How many, from today on.
        widest: As a prohibition counts; else as a permission, where one may be empty.
    """
    zone = ZoneInfo(hours.zone)
    today = now.astimezone(zone).date()
    for offset in range(-1, days):
        day = today + timedelta(days=offset)
        if DAYS[day.weekday()] not in hours.days:
            continue
        last = day if hours.to > hours.from_ else day + timedelta(days=1)
        starts, ends = _instants(day, hours.from_, zone), _instants(last, hours.to, zone)
        span = Span(starts[0], ends[1]) if widest else Span(starts[1], ends[0])
        if span.start < span.end:
            yield span


def quiet_ahead(hours: Hours | None, now: datetime) -> Span | None:
    """Return the quiet hours that last now, else the next; None where there are none.

    Those that follow one another without a gap count as one, as far as two weeks reach.
    """
    if hours is None:
        return None
    found: Span | None = None
    for span in sorted(spans(hours, now, days=_AHEAD_DAYS, widest=True)):
        if found is None or found.end <= now:
            found = span
        elif span.start <= found.end:
            found = Span(found.start, max(found.end, span.end))
    return found if found is not None and found.end > now else None


def runs_into(quiet: Span | None, now: datetime, deadline: datetime) -> bool:
    """Tell whether a task may not be begun: it is quiet, or would be at the deadline.

    Quiet hours that end before the deadline are no obstacle: work pauses and goes on.
    """
    if quiet is None:
        return False
    return quiet.holds(now) or quiet.start < deadline <= quiet.end


def _instants(day: date, clock: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the earlier and the later instant at which a clock may be said to show this."""
    at = datetime.combine(day, time.fromisoformat(clock), tzinfo=zone)
    first, second = sorted(at.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second
