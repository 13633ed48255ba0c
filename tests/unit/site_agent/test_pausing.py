"""A training works, pauses or is given up by the clock, the quiet hours and its deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.agreement.party_terms import Window
from governance.hours import DAYS, quiet_ahead, runs_into
from site_agent.answers import _sentences as sentences
from site_agent.pausing import Course, Now, course_of

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def hours(start="07:00", end="19:00", zone="UTC"):
    return Window.model_validate({"days": DAYS, "from": start, "to": end, "zone": zone})


def at(clock):
    hour, minute = clock.split(":")
    return MIDNIGHT + timedelta(hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("now", "deadline", "course", "until"),
    [
        ("06:59", "08:00", Course.WORK, "07:00"),
        ("07:00", "19:01", Course.PAUSE, "19:00"),
        ("18:59", "19:01", Course.PAUSE, "19:00"),
        ("07:00", "19:00", Course.GIVE_UP, "19:00"),
        ("07:00", "08:00", Course.GIVE_UP, "19:00"),
        ("19:00", "19:01", Course.WORK, "31:00"),
    ],
)
def test_training_does_as_the_table_says(now, deadline, course, until):
    assert course_of(hours(), at(now), at(deadline)) == Now(course, at(until))


def test_status_says_until_when_a_training_pauses():
    said = {"connected": True, "task": "hearts/1/1/train", "steps_done": 7}
    work = "Connected; at work on hearts/1/1/train, 7 steps done."
    assert sentences(said | {"paused_until": ""}) == [work]
    told = sentences(said | {"paused_until": "2026-11-23T19:00:00.000000Z"})
    assert told == [work, "It pauses for the quiet hours until 2026-11-23T19:00:00.000000Z."]


def test_without_quiet_hours_a_training_works():
    assert course_of(None, at("12:00"), at("13:00")) == Now(Course.WORK, None)


@given(
    st.integers(0, 400 * 86400).map(lambda s: MIDNIGHT + timedelta(seconds=s)),
    st.integers(1, 3 * 86400).map(lambda s: timedelta(seconds=s)),
)
def test_training_that_was_taken_is_never_given_up_under_the_same_hours(now, span):
    quiet_hours, deadline = hours(zone="Europe/Berlin"), now + span
    if runs_into(quiet_ahead(quiet_hours, now), now, deadline):
        return
    first = course_of(quiet_hours, now, deadline)
    assert first.course is Course.WORK
    edge = first.until
    if edge < deadline:
        at_edge = course_of(quiet_hours, edge, deadline)
        assert at_edge.course is Course.PAUSE
        assert at_edge.until < deadline
        assert course_of(quiet_hours, at_edge.until, deadline).course is Course.WORK
