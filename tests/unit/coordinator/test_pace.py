"""One caller reads the log at a pace, and the others go on."""

from __future__ import annotations

import pytest

from coordinator.pace import Allowance, Pace
from protos.errors import Unavailable


def pace(requests=(1, 3), entries=(10, 50)):
    return Pace(requests=Allowance(*requests), entries=Allowance(*entries))


def test_requests_past_the_burst_are_refused_in_a_sentence_that_says_how_long():
    mine = pace(requests=(0.1, 3))
    for _ in range(3):
        mine.admit("auditor/edpb", at_s=0)
    with pytest.raises(Unavailable) as refused:
        mine.admit("auditor/edpb", at_s=0)
    assert refused.value.rule == "too-fast"
    assert "auditor/edpb asked for more requests" in refused.value.what
    assert "in 10 s" in refused.value.todo


def test_one_who_is_over_it_does_not_stop_another():
    mine = pace(requests=(1, 1))
    mine.admit("auditor/edpb", at_s=0)
    with pytest.raises(Unavailable):
        mine.admit("auditor/edpb", at_s=0)
    mine.admit("site/amc", at_s=0)


def test_requests_come_back_with_time_and_never_beyond_the_burst():
    mine = pace(requests=(1, 2))
    for at_s in (0, 0, 1000, 1000):
        mine.admit("site/amc", at_s=at_s)
    with pytest.raises(Unavailable):
        mine.admit("site/amc", at_s=1000)


def test_entries_past_the_burst_wait_as_long_as_their_rate_says():
    mine = pace()
    assert mine.send("site/amc", 40, at_s=0) == 0
    assert mine.send("site/amc", 40, at_s=0) == pytest.approx(3.1)
    assert mine.send("site/ucl", 40, at_s=0) == 0


def test_second_stream_beside_one_that_waits_is_refused():
    mine = pace()
    mine.send("site/amc", 80, at_s=0)
    with pytest.raises(Unavailable, match="more entries"):
        mine.admit("site/amc", at_s=0)
    mine.admit("site/amc", at_s=4)
