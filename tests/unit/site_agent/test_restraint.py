"""A coordinator that has task after task refused fills no hospital's journal."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from hospital import FEDERATION
from test_deciding import FINE
from test_session import Exchange

from protos.errors import PeerFault
from protos.words import Heartbeat, Hello, TaskAnswer, ToSite
from site_agent import deciding, restraint
from site_agent.session import Session
from site_agent.store import letters, notes, work
from site_agent.store.egress import Left, record

FEW = 5


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(restraint, "REFUSALS", FEW)


def refused(charite, number):
    """Have a task refused, and all that was said of it acknowledged."""
    task = charite.task(charite.document(), round_=number)
    charite.take(task)
    held = charite.held(task)
    if held is not None:
        charite.store.now(lambda c: deciding.decide(c, charite.m, held, FINE))
        charite.store.now(lambda c: letters.acknowledged(c, FEDERATION, 10_000))
    return held


def test_task_after_so_many_refusals_in_an_hour_is_dropped_and_the_journal_stays(charite):
    assert all(refused(charite, number) for number in range(1, FEW + 1))
    assert not any(refused(charite, number) for number in range(FEW + 1, 3 * FEW))
    assert len(charite.said("task-refused")) == FEW
    assert "refused 5 tasks within an hour" in charite.store.look(
        lambda c: notes.note(c, FEDERATION, notes.FAULT)
    )


def test_after_the_hour_tasks_are_taken_again(charite):
    assert all(refused(charite, number) for number in range(1, FEW + 1))
    assert not refused(charite, FEW + 1)
    charite.clock.pass_(hours=1)
    assert refused(charite, FEW + 2)


def test_a_refused_task_that_is_sent_again_and_again_is_answered_so_often_and_no_more(charite):
    held = refused(charite, 1)

    def answered(c):
        raw = TaskAnswer(held.task.task, accepted=False, rule="policy").task.encode()
        left = Left(charite.clock(), "task-answer", len(raw), "0" * 64, "task-refused", "it")
        record(c, FEDERATION, left)

    for _ in range(FEW):
        charite.store.now(answered)
    before = len(charite.sent(TaskAnswer))
    charite.take(held.task)
    assert len(charite.sent(TaskAnswer)) == before
    with pytest.raises(PeerFault, match="refused 5 tasks"):
        charite.store.look(lambda c: restraint.check(c, charite.m))


@pytest_asyncio.fixture
async def exchange(charite, monkeypatch):
    monkeypatch.setattr("site_agent.session.random.random", lambda: 0.001)
    made = Exchange(charite)
    made.site = Session(charite.m, made, made.presence, bell=made.bell)
    made.running = asyncio.create_task(made.site.run())
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


async def test_the_session_ends_and_says_why_and_is_dialled_again(exchange, charite):
    for number in range(1, FEW + 1):
        refused(charite, number)
    line = await exchange.pick_up(ack=10_000)
    await line.next(Heartbeat)
    seq = charite.store.look(lambda c: letters.taken(c, FEDERATION)) + 1
    task = charite.task(charite.document(), round_=99)
    await line.to_site.put(ToSite(task, seq=seq))
    again = await exchange.pick_up(ack=10_000)
    hello = await again.next(Hello)
    assert hello.ack == seq  # it was taken, and dropped
    assert charite.store.look(lambda c: work.find(c, FEDERATION, task.task)) is None
    assert exchange.dialled == 2
