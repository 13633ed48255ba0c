"""One of a thing is one, and several are several."""

from __future__ import annotations

import pytest

from governance.counts import count, every, verb


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "round", "0 rounds"),
        (1, "round", "1 round"),
        (2, "entry", "2 entries"),
        (1, "entry", "1 entry"),
        (12_000, "patient", "12,000 patients"),
    ],
)
def test_a_number_of_things_is_said_as_people_say_it(number, noun, said):
    assert count(number, noun) == said


def test_all_of_one_is_the_one():
    assert (every(1, "round"), every(10, "round")) == ("the one round", "all 10 rounds")
    assert (verb(1, "is", "are"), verb(2, "is", "are")) == ("is", "are")
