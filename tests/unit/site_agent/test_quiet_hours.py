"""A training keeps the hospital's quiet hours: it pauses, goes on after, or is given up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hospital import START

from protos.words import Cancel, TaskAnswer
from site_agent.agent import TaskState


def quiet_from(start, end):
    return {"days": ["sat"], "from": start, "to": end, "zone": "UTC"}


async def in_quiet_hours(bench, make, *, begin, end, due):
    """Begin a training at 09:00 by the hospital's clock, with these quiet hours."""
    await bench.stop()
    bench.charite = make(policy__quiet_hours=quiet_from(begin, end))
    bench.worker.hang, bench.worker.last = asyncio.Event(), asyncio.Event()
    bench.begin()
    task = bench.offer(bench.charite.consented(), deadline=START + due)
    await bench.reserved(task)
    await bench.worker.hang.wait()
    return task


def passes(bench, **span):
    bench.charite.clock.pass_(**span)
    bench.bell.ring()


async def test_a_training_pauses_at_the_edge_of_quiet_hours_and_goes_on_after(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=59)
    assert bench.worker.hints == []
    passes(bench, minutes=1)
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    assert bench.presence.paused_until == START + timedelta(hours=2)
    assert bench.charite.held(task).state is TaskState.WORKING
    passes(bench, hours=1)
    await bench.eventually(lambda: bench.worker.hints == ["pause", "resume"])
    assert bench.presence.paused_until is None
    bench.worker.last.set()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 1
    assert len(bench.charite.spent()) == 1


async def test_a_training_that_would_be_due_in_quiet_hours_is_not_taken(bench, make):
    await bench.stop()
    bench.charite = make(policy__quiet_hours=quiet_from("09:30", "11:00"))
    bench.begin()
    document = bench.charite.consented()
    task = bench.offer(document, deadline=START + timedelta(hours=1))
    assert (await bench.until(task, TaskState.REFUSED)).rule == "quiet-hours"
    assert bench.charite.spent() == []


async def test_a_training_whose_deadline_the_quiet_hours_outlast_is_given_up(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="10:30", due=timedelta(hours=4))
    await bench.stop()
    bench.charite.rewrite(policy__quiet_hours=quiet_from("10:00", "16:00"))
    bench.begin()
    passes(bench, hours=1)
    assert (await bench.until(task, TaskState.FAILED)).rule == "quiet-hours"
    assert bench.charite.sent(TaskAnswer)[-1].rule == "quiet-hours"
    assert len(bench.charite.spent()) == 1


async def test_an_agent_that_starts_again_in_quiet_hours_pauses_under_its_reservation(
    bench, make
):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=61)
    bench.worker.hang = None
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    bench.worker.hang = asyncio.Event()
    await bench.power_cut()
    await bench.worker.hang.wait()
    await bench.eventually(lambda: bench.worker.hints == ["pause", "pause"])
    passes(bench, hours=1)
    bench.worker.last.set()
    await bench.until(task, TaskState.DONE)
    assert len(bench.charite.spent()) == 1


async def test_a_cancel_ends_a_training_that_pauses(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=61)
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    bench.receive(Cancel(task.task, "round-over"))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed == 1)
    assert bench.presence.paused_until is None


NIGHT = {"days": ["sat"], "from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("evening", "long"),
    [
        (datetime(2027, 3, 27, 20, 30, tzinfo=UTC), timedelta(hours=7)),  # the clock is set on
        (datetime(2027, 10, 30, 19, 30, tzinfo=UTC), timedelta(hours=9)),  # and back
    ],
)
async def test_a_training_pauses_for_as_long_as_the_night_really_is_when_clocks_are_set(
    bench, make, evening, long
):
    await bench.stop()
    bench.charite = make(policy__quiet_hours=NIGHT)
    bench.charite.clock.time = evening
    bench.worker.hang, bench.worker.last = asyncio.Event(), asyncio.Event()
    bench.begin()
    due = evening + timedelta(hours=14)
    task = bench.offer(bench.charite.consented(), deadline=due)
    await bench.reserved(task)
    await bench.worker.hang.wait()
    bench.charite.clock.time = evening + timedelta(minutes=30)
    bench.bell.ring()
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    ends = evening + timedelta(minutes=30) + long
    assert bench.presence.paused_until == ends
    bench.charite.clock.time = ends - timedelta(seconds=1)
    bench.bell.ring()
    assert bench.worker.hints == ["pause"]
    bench.charite.clock.time = ends
    bench.bell.ring()
    await bench.eventually(lambda: bench.worker.hints == ["pause", "resume"])
    bench.worker.last.set()
    await bench.until(task, TaskState.DONE)
