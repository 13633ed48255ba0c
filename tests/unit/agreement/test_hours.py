"""Hours of the week are the wall clock's; a clock change never widens a permission."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.agreement.party_terms import Window
from governance.hours import DAYS, Span, quiet_ahead, runs_into, spans

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def _hours(start="07:00", end="19:00", days=DAYS, zone="Europe/Berlin"):
    return Window.model_validate({"days": tuple(days), "from": start, "to": end, "zone": zone})


def _utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _holds(hours, moment, *, widest):
    return any(span.holds(moment) for span in spans(hours, moment, days=2, widest=widest))


clocks = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda t: f"{t[0]:02}:{t[1]:02}")
weeks = st.builds(
    _hours,
    clocks,
    clocks,
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    st.sampled_from(
        ["Europe/Berlin", "Europe/Dublin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]
    ),
)
instants = st.integers(0, 2 * 366 * 86400).map(
    lambda second: datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=second)
)


def _on_the_wall(hours, moment):
    """What a person at the wall clock says."""
    local = moment.astimezone(ZoneInfo(hours.zone))
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    at, start, end = local.time(), *map(time.fromisoformat, (hours.from_, hours.to))
    if start < end:
        return today in hours.days and start <= at < end
    return (today in hours.days and at >= start) or (yesterday in hours.days and at < end)


def _is_plain(zone, moment):
    """Whether no clock is changed within a day and a half of a moment."""
    offsets = {
        (moment + timedelta(hours=h)).astimezone(ZoneInfo(zone)).utcoffset()
        for h in range(-36, 37, 6)
    }
    return len(offsets) == 1


@given(weeks, instants)
def test_hours_are_those_of_the_clock_on_the_wall(hours, moment):
    if _is_plain(hours.zone, moment):
        said = _on_the_wall(hours, moment)
        assert _holds(hours, moment, widest=False) is said
        assert _holds(hours, moment, widest=True) is said


@given(weeks, instants)
def test_what_is_permitted_is_within_what_would_be_prohibited(hours, moment):
    assert not _holds(hours, moment, widest=False) or _holds(hours, moment, widest=True)


@given(weeks, instants)
def test_quiet_hours_ahead_are_the_first_that_have_not_ended(hours, now):
    quiet = quiet_ahead(hours, now)
    assert quiet.end > now
    assert quiet.holds(now) is _holds(hours, now, widest=True)
    before = now + (quiet.start - now) / 2
    if quiet.start > now:
        assert not _holds(hours, before, widest=True)
    assert not _holds(hours, quiet.end, widest=True) or quiet.end - now > timedelta(days=14)


@given(weeks, instants, st.integers(1, 7 * 86400))
def test_task_that_may_be_begun_has_time_to_work_and_is_not_due_in_quiet_hours(
    hours, now, deadline_s
):
    deadline = now + timedelta(seconds=deadline_s)
    quiet = quiet_ahead(hours, now)
    if not runs_into(quiet, now, deadline):
        assert not quiet.holds(now)
        assert not quiet.start < deadline <= quiet.end


@pytest.mark.parametrize(
    ("now", "deadline", "obstacle"),
    [
        ("2026-11-23T06:30", "2026-11-23T07:00", False),  # due as the quiet begins
        ("2026-11-23T06:30", "2026-11-23T07:01", True),
        ("2026-11-23T06:30", "2026-11-23T19:00", True),  # due as it ends: nothing is left
        ("2026-11-23T06:30", "2026-11-23T19:01", False),  # pauses, and goes on after
        ("2026-11-23T07:00", "2026-11-23T23:00", True),
        ("2026-11-23T18:59", "2026-11-23T23:00", True),
        ("2026-11-23T19:00", "2026-11-23T23:00", False),
    ],
)
def test_task_is_not_begun_in_quiet_hours_or_when_it_would_be_due_in_them(
    now, deadline, obstacle
):
    quiet = quiet_ahead(_hours(zone="UTC"), _utc(now))
    assert runs_into(quiet, _utc(now), _utc(deadline)) is obstacle


def test_without_quiet_hours_nothing_is_in_the_way():
    assert quiet_ahead(None, _utc("2026-11-23T12:00")) is None
    assert not runs_into(None, _utc("2026-11-23T12:00"), _utc("2026-11-24T12:00"))


def test_quiet_hours_that_end_as_the_next_begin_are_one():
    weekend = _hours("00:00", "00:00", days=["sat", "sun"], zone="UTC")
    assert quiet_ahead(weekend, _utc("2026-11-20T12:00")) == Span(
        _utc("2026-11-21T00:00"), _utc("2026-11-23T00:00")
    )


# --- the two nights in Europe/Berlin: 28 March 2027 from 02:00 to 03:00, 31 October back -----


def test_night_in_spring_has_an_hour_less():
    night = _hours("20:00", "06:00", days=["sat"])
    quiet = quiet_ahead(night, datetime(2027, 3, 27, 12, tzinfo=BERLIN))
    assert quiet == Span(_utc("2027-03-27T19:00"), _utc("2027-03-28T04:00"))
    assert quiet.end - quiet.start == 9 * HOUR


def test_night_in_autumn_has_an_hour_more():
    night = _hours("20:00", "06:00", days=["sat"])
    quiet = quiet_ahead(night, datetime(2027, 10, 30, 12, tzinfo=BERLIN))
    assert quiet == Span(_utc("2027-10-30T18:00"), _utc("2027-10-31T05:00"))
    assert quiet.end - quiet.start == 11 * HOUR


def test_quiet_to_a_time_that_comes_twice_last_to_the_second():
    night = _hours("20:00", "02:30", days=["sat"])
    quiet = quiet_ahead(night, datetime(2027, 10, 30, 12, tzinfo=BERLIN))
    assert quiet.end == _utc("2027-10-31T01:30")


def test_quiet_from_a_time_that_comes_twice_begin_at_the_first():
    early = _hours("02:30", "06:00", days=["sun"])
    quiet = quiet_ahead(early, datetime(2027, 10, 30, 12, tzinfo=BERLIN))
    assert quiet.start == _utc("2027-10-31T00:30")


def test_quiet_from_a_time_that_never_comes_begin_before_the_clock_is_set():
    early = _hours("02:30", "06:00", days=["sun"])
    quiet = quiet_ahead(early, datetime(2027, 3, 27, 12, tzinfo=BERLIN))
    assert quiet == Span(_utc("2027-03-28T00:30"), _utc("2027-03-28T04:00"))


def test_quiet_to_a_time_that_never_comes_last_until_the_clock_shows_it_passed():
    night = _hours("20:00", "02:30", days=["sat"])
    quiet = quiet_ahead(night, datetime(2027, 3, 27, 12, tzinfo=BERLIN))
    assert quiet == Span(_utc("2027-03-27T19:00"), _utc("2027-03-28T01:30"))
