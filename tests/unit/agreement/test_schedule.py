"""Rounds open only in their window, and the schedule ends when enough is reached."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.agreement.party_terms import Schedule, Window
from governance.agreement.schedule import (
    Ending,
    ending_of,
    is_open,
    longest_opening_s,
    may_open,
    next_opening,
)

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
HOUR = 3600


def _window(start="20:00", end="06:00", days=WEEKDAYS, zone="Europe/Berlin"):
    return Window.model_validate({"days": tuple(days), "from": start, "to": end, "zone": zone})


def _berlin(*parts):
    return datetime(*parts, tzinfo=BERLIN)


NIGHTS = _window()


def test_without_a_window_a_round_may_always_open():
    assert may_open(None, _berlin(2027, 3, 1, 12), 10**9)
    assert next_opening(None, _berlin(2027, 3, 1, 12)) == datetime(2027, 3, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        (_berlin(2027, 3, 1, 19, 59), False),  # a Monday
        (_berlin(2027, 3, 1, 20, 0), True),
        (_berlin(2027, 3, 2, 3, 59), True),
        (_berlin(2027, 3, 2, 4, 0), True),
        (_berlin(2027, 3, 2, 4, 1), False),  # its deadline of 2 h would pass 06:00
        (_berlin(2027, 3, 6, 3, 0), True),  # Friday's night goes on into Saturday
        (_berlin(2027, 3, 6, 21, 0), False),  # Saturday has no night of its own
        (_berlin(2027, 3, 8, 3, 0), False),  # Monday before dawn is Sunday's night
    ],
)
def test_window_over_midnight_belongs_to_the_day_it_begins(now, opens):
    assert may_open(NIGHTS, now, 2 * HOUR) is opens


def test_night_on_which_the_clock_goes_back_has_an_hour_more():
    friday = _window(days=["sat"])
    assert may_open(friday, _berlin(2027, 10, 30, 20), 11 * HOUR)
    assert not may_open(friday, _berlin(2027, 10, 23, 20), 11 * HOUR)


def test_night_on_which_the_clock_goes_forward_has_an_hour_less():
    saturday = _window(days=["sat"])
    assert may_open(saturday, _berlin(2027, 3, 27, 20), 9 * HOUR)
    assert not may_open(saturday, _berlin(2027, 3, 27, 20), 9 * HOUR + 1)


def test_window_inside_the_hour_that_is_left_out_never_opens():
    gap = _window("02:00", "02:30", days=["sun"])
    assert next_opening(gap, _berlin(2027, 3, 28, 0)) == _berlin(2027, 4, 4, 2).astimezone(UTC)


def test_hour_that_comes_twice_counts_for_the_shorter_window():
    to_half_past_two = _window("20:00", "02:30", days=["sat"])
    first_half_past_two = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert is_open(to_half_past_two, first_half_past_two - timedelta(seconds=1))
    assert not is_open(to_half_past_two, first_half_past_two)
    from_half_past_two = _window("02:30", "06:00", days=["sun"])
    assert not is_open(from_half_past_two, first_half_past_two)
    assert is_open(from_half_past_two, first_half_past_two + timedelta(hours=1))


def test_next_opening_leaves_room_for_the_deadline():
    assert next_opening(NIGHTS, _berlin(2027, 3, 2, 4, 1), 2 * HOUR) == _berlin(
        2027, 3, 2, 20
    ).astimezone(UTC)
    assert next_opening(NIGHTS, _berlin(2027, 3, 6, 12), 2 * HOUR) == _berlin(
        2027, 3, 8, 20
    ).astimezone(UTC)
    assert next_opening(NIGHTS, _berlin(2027, 3, 2, 4, 1), 11 * HOUR) is None


def test_whole_days_follow_one_another_without_a_gap():
    weekend = _window("00:00", "00:00", days=["sat", "sun"])
    assert may_open(weekend, _berlin(2027, 3, 6, 12), 30 * HOUR)
    assert not may_open(weekend, _berlin(2027, 3, 7, 12), 30 * HOUR)
    assert longest_opening_s(weekend) == 48 * HOUR


def test_longest_opening():
    assert longest_opening_s(NIGHTS) == 10 * HOUR
    every_day = _window(
        "00:00", "00:00", days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    )
    assert longest_opening_s(every_day) == float("inf")
    assert may_open(every_day, _berlin(2027, 3, 6, 12), 100 * 24 * HOUR)


@given(
    st.integers(0, 365 * 24 * 3600).map(
        lambda second: datetime(2027, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    ),
    st.integers(0, 9 * HOUR),
)
def test_next_opening_opens_and_nothing_before_it_does(now, deadline_s):
    opening = next_opening(NIGHTS, now, deadline_s)
    assert opening is not None
    assert opening >= now
    assert may_open(NIGHTS, opening, deadline_s)
    assert is_open(NIGHTS, opening)
    if opening > now:
        before = now + (opening - now) / 2
        assert not may_open(NIGHTS, before, deadline_s)
        assert not may_open(NIGHTS, opening - timedelta(seconds=1), deadline_s)


TARGET, PATIENCE, ROUNDS = Ending.TARGET, Ending.PATIENCE, Ending.ROUNDS


def _schedule(stop, rounds=9):
    terms = {"rounds": rounds} | ({} if stop is None else {"stop": stop})
    return Schedule.model_validate(terms)


@pytest.mark.parametrize(
    ("stop", "history", "end"),
    [
        (None, [0.99], None),
        ({"metric": "auc", "reached": 0.92}, [], None),
        ({"metric": "auc", "reached": 0.92}, [0.9, 0.91], None),
        ({"metric": "auc", "reached": 0.92}, [0.9, 0.92], TARGET),
        ({"metric": "log-loss", "reached": 0.3}, [0.4, 0.31], None),
        ({"metric": "log-loss", "reached": 0.3}, [0.4, 0.29], TARGET),
        ({"metric": "auc", "patience": 2}, [0.9, 0.8], None),
        ({"metric": "auc", "patience": 2}, [0.9, 0.8, 0.89], PATIENCE),
        ({"metric": "auc", "patience": 2}, [0.9, 0.9, 0.9], PATIENCE),
        ({"metric": "auc", "patience": 2}, [0.8, 0.7, 0.81, 0.8], None),
        ({"metric": "brier", "patience": 2}, [0.1, 0.2, 0.3], PATIENCE),
        ({"metric": "brier", "patience": 2}, [0.3, 0.2, 0.1], None),
        ({"metric": "auc", "reached": 0.92, "patience": 2}, [0.5, 0.93], TARGET),
        ({"metric": "auc", "reached": 0.92, "patience": 2}, [0.95, 0.5, 0.5], PATIENCE),
    ],
)
def test_stop_by_figure_or_patience_whichever_comes_first(stop, history, end):
    assert ending_of(_schedule(stop), len(history), history) is end


@pytest.mark.parametrize(("rounds", "end"), [(8, None), (9, ROUNDS), (10, ROUNDS)])
def test_schedule_ends_with_its_last_round(rounds, end):
    assert ending_of(_schedule(None), rounds, []) is end


def test_target_reached_in_the_last_round_is_the_reason():
    assert ending_of(_schedule({"metric": "auc", "reached": 0.9}), 9, [0.91]) is TARGET


@given(
    st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from(["auc", "brier"]),
)
def test_patience_ends_when_none_of_the_last_beats_all_before(history, patience, metric):
    stop = _schedule({"metric": metric, "patience": patience}, rounds=99)
    better = max if metric == "auc" else min
    before, last = history[:-patience], history[-patience:]
    stopped = bool(before) and better(before) == better([*before, *last])
    assert (ending_of(stop, len(history), history) is PATIENCE) is stopped
