"""What the conductor is asked: in order, together where that is the same, and nothing lost."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.asks import Asks, Kind
from protos.errors import Refused


@pytest.fixture
def asks():
    return Asks()


@pytest.fixture
def done():
    return []


@pytest.fixture
def told(asks, done):
    def tell(name, kind=Kind.ALONE, *, meanwhile=None):
        async def ask():
            done.append(f"{name} begins")
            await asyncio.sleep(0)
            if meanwhile is not None:
                raise meanwhile
            done.append(f"{name} ends")
            return name

        return asyncio.ensure_future(asks.ask(ask, kind))

    return tell


def nothing():
    pass


async def answered(asks, with_them=nothing):
    await asyncio.sleep(0)
    until_s = asyncio.get_running_loop().time() + 5
    await asks.answer(until_s=until_s, with_them=with_them)


async def test_what_sites_say_at_once_is_taken_together(asks, told, done):
    said = [told(name, Kind.SAID) for name in ("amc", "ucl")]
    await answered(asks)
    assert done == ["amc begins", "ucl begins", "amc ends", "ucl ends"]
    assert await asyncio.gather(*said) == ["amc", "ucl"]


async def test_act_is_done_before_what_is_asked_after_it(asks, told, done):
    every = [told("amc", Kind.SAID), told("act"), told("ucl", Kind.SAID)]
    await answered(asks)
    assert done == [f"{n} {what}" for n in ("amc", "act", "ucl") for what in ("begins", "ends")]
    await asyncio.gather(*every)


async def test_what_follows_from_what_sites_say_is_begun_with_it(asks, told, done):
    said = [told(name, Kind.SAID) for name in ("amc", "ucl")]

    async def look():
        done.append("look")

    begun = []
    await answered(asks, lambda: begun.append(asyncio.ensure_future(look())))
    assert done == ["amc begins", "ucl begins", "look", "amc ends", "ucl ends"]
    await asyncio.gather(*said, *begun)


async def test_nothing_is_begun_with_what_sites_say_before_an_act(asks, told):
    every = [told("amc", Kind.SAID), told("act")]
    await answered(asks, lambda: pytest.fail("the act comes last"))
    await asyncio.gather(*every)


async def test_question_alone_calls_for_no_step(asks, told):
    question = told("status", Kind.LOOKS)
    loop = asyncio.get_running_loop()
    answering = asyncio.ensure_future(asks.answer(until_s=loop.time() + 60, with_them=nothing))
    assert await question == "status"
    assert not answering.done()
    said = told("amc", Kind.SAID)
    await asyncio.gather(answering, said)


async def test_refusal_is_for_who_asked_and_for_nobody_beside(asks, told):
    refused = told("amc", Kind.SAID, meanwhile=Refused("no", rule="no"))
    heard = told("ucl", Kind.SAID)
    await answered(asks)
    assert await heard == "ucl"
    with pytest.raises(Refused):
        await refused


async def test_when_nothing_is_asked_the_loop_looks_again_at_its_time(asks):
    await asks.answer(until_s=asyncio.get_running_loop().time(), with_them=nothing)
    assert len(asks) == 0


async def test_questions_without_end_leave_the_loop_its_time(asks):
    asked = []

    async def look():
        if len(asked) < 100:
            asked.append(asyncio.ensure_future(asks.ask(look, Kind.LOOKS)))
        await asyncio.sleep(0)  # the next one waits already when this one is answered

    first = asyncio.ensure_future(asks.ask(look, Kind.LOOKS))
    await asyncio.sleep(0)
    await asks.answer(until_s=asyncio.get_running_loop().time(), with_them=nothing)
    await first
    assert len(asked) == len(asks) == 1
    asked.pop().cancel()
