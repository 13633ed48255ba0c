"""One sum at a time beside the conductor; a result is only ever of the updates asked for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from coordinator.summing import Summing, What
from protos.errors import Refused
from protos.words import SiteName


def what(*sites):
    return What(1, 1, frozenset(map(SiteName, sites)))


class Sum:
    """A sum that is made when the test lets it."""

    def __init__(self, result):
        self.result, self.go_on, self.times = result, threading.Event(), 0

    def __call__(self):
        self.times += 1
        assert self.go_on.wait(5)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
async def summing():
    made = Summing()
    made.done = asyncio.Event()
    made.on_done = made.done.set
    return made


async def test_sum_is_begun_once_and_taken_once(summing):
    work = Sum("candidate")
    assert summing.outcome(what("a", "b"), work) is None
    assert summing.outcome(what("a", "b"), work) is None
    work.go_on.set()
    await summing.done.wait()
    assert summing.outcome(what("a", "b"), work) == "candidate"
    assert work.times == 1


async def test_sum_of_other_updates_is_never_taken(summing):
    old, new = Sum("with the one that left"), Sum("without it")
    assert summing.outcome(what("a", "b", "c"), old) is None
    assert summing.outcome(what("b", "c"), new) is None
    assert new.times == 0  # one at a time
    old.go_on.set()
    await summing.done.wait()
    summing.done.clear()
    new.go_on.set()
    assert summing.outcome(what("b", "c"), new) is None
    await summing.done.wait()
    assert summing.outcome(what("b", "c"), new) == "without it"


async def test_what_a_sum_raised_is_raised_to_whom_asks_and_it_can_be_tried_again(summing):
    work = Sum(Refused("no", rule="not-finite"))
    work.go_on.set()
    assert summing.outcome(what("a"), work) is None
    await summing.done.wait()
    summing.done.clear()
    with pytest.raises(Refused):
        summing.outcome(what("a"), work)
    again = Sum("candidate")
    again.go_on.set()
    assert summing.outcome(what("a"), again) is None
    await summing.done.wait()
    assert summing.outcome(what("a"), again) == "candidate"


async def test_what_an_overtaken_sum_raised_is_nobodys(summing):
    old = Sum(FileNotFoundError("its update was deleted"))
    assert summing.outcome(what("a", "b"), old) is None
    old.go_on.set()
    await summing.done.wait()
    new = Sum("candidate")
    assert summing.outcome(what("b"), new) is None
    new.go_on.set()
