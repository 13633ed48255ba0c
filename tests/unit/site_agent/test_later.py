"""What can wait goes down with the next transaction, or soon by itself."""

from __future__ import annotations

import asyncio
import gc
from functools import partial

from hospital import FEDERATION

from protos.words import TaskAnswer
from site_agent.store import database, letters, notes


def keep(value):
    return partial(notes.set_note, federation=FEDERATION, name="n", value=value)


def kept(hospital):
    return hospital.store.look(partial(notes.note, federation=FEDERATION, name="n"))


async def test_what_can_wait_is_written_with_the_next_transaction(charite):
    charite.store.later("n", keep("x"))
    assert kept(charite) == ""
    await charite.store.do(lambda _: None)
    assert kept(charite) == "x"


async def test_newer_word_of_the_same_takes_the_place_of_what_waits(charite):
    charite.store.later("n", keep("old"))
    charite.store.later("n", keep("new"))
    await charite.store.settle()
    assert kept(charite) == "new"


async def test_what_nobody_takes_along_is_written_soon(charite, monkeypatch):
    monkeypatch.setattr(database, "LATER_S", 0.01)
    loop, written = asyncio.get_running_loop(), asyncio.Event()
    charite.store.later("n", lambda _: loop.call_soon_threadsafe(written.set))
    async with asyncio.timeout(10):
        await written.wait()


ANSWER = TaskAnswer("hearts/1/1/train", accepted=True)


async def test_who_sends_is_told_of_messages_once_they_are_durable(charite):
    told = asyncio.Event()
    charite.store.on_mail[FEDERATION] = told.set
    await charite.store.do(keep("x"))
    assert not told.is_set()
    put = partial(letters.send, federation=FEDERATION, body=ANSWER, rule="task-taken")
    await charite.store.do(put)
    async with asyncio.timeout(60):
        await told.wait()


async def test_who_sends_is_told_though_who_wrote_did_not_wait(charite):
    told = asyncio.Event()
    charite.store.on_mail[FEDERATION] = told.set
    put = partial(letters.send, federation=FEDERATION, body=ANSWER, rule="task-taken")
    writing = asyncio.create_task(charite.store.do(put))
    await asyncio.sleep(0)
    writing.cancel()
    async with asyncio.timeout(60):
        await told.wait()
    assert charite.store.look(partial(letters.count, federation=FEDERATION)) == 1


async def test_what_waits_is_dropped_by_a_close_that_comes_as_its_time_does(
    tmp_path, monkeypatch
):
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context))
    monkeypatch.setattr(database, "LATER_S", 0.0)
    store, due = database.Store.open(tmp_path / "site.db"), asyncio.Event()
    store.later("n", keep("x"))
    for what in (store.close, due.set):  # in the turn of the loop that begins to write it
        loop.call_at(loop.time(), what)
    await due.wait()
    await asyncio.sleep(0)
    del store, what
    gc.collect()
    assert told == []
