"""One writer: writes go down together, and one that is refused takes nothing else with it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import event, text

from coordinator.store import kept, outbox
from coordinator.store.writer import Store
from protos.errors import Corrupt, Refused, Unavailable
from protos.words import AgreementState, Digest, SiteName


@pytest.fixture
async def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path}/coordinator.db")
    yield opened
    await opened.close()


@pytest.fixture
def commits(store):
    counted = []
    event.listen(store.engine, "commit", lambda _: counted.append(1))
    return counted


def note(name, value="x"):
    return lambda c: kept.set_note(c, name, value)


def refuse(name):
    def change(c):
        kept.set_note(c, name, "half done")
        raise Refused("no", rule="no")

    return change


async def value(store, name):
    return await store.read(lambda c: kept.note(c, name))


async def test_writes_at_once_go_down_together(store, commits):
    await asyncio.gather(*(store.write(note(f"n{i}")) for i in range(200)))
    assert len(commits) < 20
    assert await value(store, "n199") == "x"


async def test_refused_change_takes_nothing_else_with_it_and_leaves_nothing(store, commits):
    results = await asyncio.gather(
        store.write(note("before")),
        store.write(refuse("refused")),
        store.write(note("after")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), Refused, type(None)]
    assert await value(store, "before") == await value(store, "after") == "x"
    assert await value(store, "refused") == ""


async def test_a_bug_in_a_change_is_raised_where_it_was_asked_for(store):
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda c: 1 // 0)
    await store.write(note("after"))
    assert await value(store, "after") == "x"


async def test_question_sees_every_write_that_was_asked_for_before_it(store):
    writes = [store.write(note("n", str(i))) for i in range(50)]
    *_, seen = await asyncio.gather(*writes, value(store, "n"))
    assert seen == "49"


async def test_result_of_a_change_is_given_once_it_is_durable(store, tmp_path):
    assert await store.write(lambda c: kept.set_note(c, "n", "x") or "done") == "done"
    other = Store.open(f"sqlite:///{tmp_path}/coordinator.db")
    assert await value(other, "n") == "x"
    await other.close()


async def test_write_that_nobody_waits_for_any_more_harms_nobody(store):
    first = asyncio.ensure_future(store.write(note("first")))
    second = asyncio.ensure_future(store.write(note("second")))
    await asyncio.wait([first], timeout=0)
    first.cancel()
    await second
    assert await value(store, "second") == "x"


async def test_full_disk_is_said_in_a_sentence_and_nothing_is_lost(store):
    await store.write(note("before"))
    pages = await store.read(lambda c: c.execute(text("PRAGMA page_count")).scalar())

    def limit(count):
        return lambda c: c.execute(text(f"PRAGMA max_page_count = {count}")).scalar()

    await store.write(limit(pages + 1))
    large = "x" * 100_000
    results = await asyncio.gather(
        store.write(note("small")), store.write(note("large", large)), return_exceptions=True
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert "cannot be used: database or disk is full" in str(results[0])
    assert await value(store, "small") == ""
    await store.write(limit(pages + 1000))
    await store.write(note("large", large))
    assert await value(store, "before") == "x"
    assert await value(store, "large") == large


async def test_commit_that_fails_in_an_unknown_way_leaves_nobody_waiting(store):
    def broken(_):
        raise RuntimeError("a fault of ours")

    event.listen(store.engine, "commit", broken)
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError):
            await store.write(note("n"))
    event.remove(store.engine, "commit", broken)
    await store.write(note("n"))
    assert await value(store, "n") == "x"


async def test_sites_with_something_in_their_outbox_are_told_once_it_is_durable(store):
    told = []
    store.on_mail = told.append
    body = AgreementState(Digest("0" * 64), "complete")
    await store.write(lambda c: outbox.send(c, SiteName("amc"), body))
    await store.write(note("n"))
    await store.write(lambda c: [outbox.send(c, SiteName(n), body) for n in ("ucl", "amc")])
    assert told == [{"amc"}, {"ucl", "amc"}]


async def test_what_can_wait_is_written_with_the_next_change(store):
    store.later("n", note("n", "old"))
    store.later("n", note("n", "new"))
    assert await value(store, "n") == "new"


async def test_change_that_is_refused_alone_leaves_nothing_of_itself(store):
    def refused(connection):
        note("n")(connection)
        raise Refused("no", rule="no")

    with pytest.raises(Refused):
        await store.write(refused)
    assert await value(store, "n") == ""


async def test_closing_finishes_what_is_waiting(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/coordinator.db")
    writing = [asyncio.ensure_future(store.write(note(f"n{i}"))) for i in range(10)]
    await asyncio.wait(writing, timeout=0)
    await store.close()
    await asyncio.gather(*writing)


def test_file_that_is_no_database_is_said_in_a_sentence(tmp_path):
    (tmp_path / "coordinator.db").write_bytes(b"this is no database at all, " * 100)
    with pytest.raises(Corrupt, match="not a database"):
        Store.open(f"sqlite:///{tmp_path}/coordinator.db")


def test_folder_that_is_not_there_is_said_in_a_sentence(tmp_path):
    with pytest.raises(Unavailable, match="cannot be used: unable to open"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/coordinator.db")
