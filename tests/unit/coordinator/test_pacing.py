"""A site that speaks faster than it may is read more slowly, and no other one waits."""

from __future__ import annotations

from governance.pacing import Pace


def test_what_comes_within_the_limit_does_not_wait():
    pace = Pace(3)
    assert [pace.wait_s(now) for now in (10.0, 10.1, 10.9, 11.0, 11.5)] == [0] * 5


def test_what_comes_faster_waits_until_the_next_second():
    pace, now = Pace(2), 10.0
    waits = []
    for _ in range(6):
        waits.append(pace.wait_s(now))
        now += waits[-1]
    assert waits == [0, 0, 1, 0, 1, 0]


def test_a_flood_is_read_at_the_limit():
    pace, now = Pace(50), 7.25
    for _ in range(1000):
        now += pace.wait_s(now)
    assert 19 <= now - 7.25 <= 20


def test_after_a_silence_nothing_is_saved_up():
    pace = Pace(2)
    pace.wait_s(10.0)
    assert [pace.wait_s(100.0) for _ in range(3)] == [0, 0, 1]
