"""A worker, a line or a coordinator that fails: the task is tried again or ends by a rule."""

from __future__ import annotations

import asyncio

import pytest
from hospital import FEDERATION

from governance import statements
from protos.errors import Corrupt, Refused, Unavailable
from protos.words import TaskAnswer
from site_agent.agent import TaskState
from site_agent.store import journal, notes
from site_agent.workshop import KILLS, TRIES


async def test_a_worker_that_dies_trains_anew_under_the_same_reservation(bench, charite):
    bench.worker.deaths = 2
    await bench.done(charite.consented())
    assert len(bench.worker.jobs) == 3
    assert len(charite.spent()) == 1


async def test_a_worker_that_always_dies_fails_the_task_and_the_next_one_goes_on(
    bench, charite
):
    document = charite.consented()
    bench.worker.deaths = 3
    task = bench.offer(document)
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "worker-gone"
    await bench.done(document, round_=2)


async def test_a_worker_that_is_killed_again_and_again_trains_anew_and_pays_once(
    bench, charite
):
    bench.worker.kills = KILLS - 1
    bench.worker.deaths = TRIES - 1
    await bench.done(charite.consented())
    assert len(bench.worker.jobs) == KILLS + TRIES - 1
    assert len(charite.spent()) == 1


async def test_a_worker_that_is_killed_without_end_fails_the_task(bench, charite):
    bench.worker.kills = KILLS
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "worker-gone"


async def test_a_disk_that_is_full_while_a_worker_writes_is_waited_out(
    bench, charite, monkeypatch
):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    bench.worker.error = Unavailable("full", rule="disk-full")
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.eventually(lambda: len(bench.worker.jobs) > 1)
    bench.worker.error = None
    await bench.until(task, TaskState.DONE)
    assert len(charite.spent()) == 1


@pytest.mark.parametrize(
    "error", [Refused("no", rule="data-contract"), Corrupt("no", rule="held-out-secret")]
)
async def test_a_refusal_of_the_worker_is_told_by_its_rule_alone(bench, charite, error):
    bench.worker.error = error
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == error.rule
    assert charite.sent(TaskAnswer)[-1] == TaskAnswer(
        task.task, accepted=False, rule=error.rule
    )
    assert charite.said("task-refused")[0].statement.body["refusal"] == error.rule


async def test_a_fault_of_ours_ends_its_task_and_not_the_agent(bench, charite):
    document = charite.consented()
    bench.worker.error = ZeroDivisionError("a bug")
    task = bench.offer(document)
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "internal-error"
    bench.worker.error = None
    await bench.done(document, round_=2)


async def test_cut_lines_are_waited_out(bench, charite, monkeypatch):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    bench.link.broken = 3
    await bench.reserved(task)
    await bench.until(task, TaskState.WORKING, TaskState.SENDING, TaskState.DONE)
    bench.link.broken = 2
    await bench.until(task, TaskState.DONE)


async def test_a_model_that_is_not_what_was_promised_fails_the_task(bench, charite):
    bench.link.files[bench.model] = b"b model"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "digest-mismatch"


async def test_an_update_that_the_coordinator_refuses_is_void(bench, charite):
    bench.link.refuse = "round-over"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "round-over"
    (said,) = charite.said("contribution-made")
    assert (said.status, said.rule) == (journal.VOID, "round-over")


async def test_nobody_waits_for_an_update_that_the_coordinator_refused(bench, charite):
    bench.link.refuse = "spool-quota"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.until(task, TaskState.FAILED)
    assert charite.sent(TaskAnswer)[-1] == TaskAnswer(
        task.task, accepted=False, rule="spool-quota"
    )


async def test_a_chain_that_must_be_mended_does_not_fail_the_task(bench, charite, monkeypatch):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    bench.link.refuse = "broken-chain"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.until(task, TaskState.SENDING)
    await bench.eventually(
        lambda: charite.store.look(lambda c: notes.note(c, FEDERATION, notes.RELINK))
    )
    bench.link.refuse = None
    await bench.until(task, TaskState.DONE)
    assert len(charite.said("contribution-made")) >= 2


async def test_an_update_that_was_dated_by_a_wrong_clock_is_sent_when_it_is_right(
    bench, charite, monkeypatch
):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    bench.link.refuse = "dated-ahead"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.eventually(lambda: len(charite.said("contribution-made")) > 1)
    bench.link.refuse = None
    await bench.until(task, TaskState.DONE)


async def test_a_receipt_that_was_lost_belongs_to_the_statement_that_is_in(
    bench, charite, monkeypatch
):
    """The update is in, its receipt is lost, and something else is said in its place."""
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    monkeypatch.setattr("site_agent.witness.RETRY_S", 0.05)
    whole, log = bench.link.upload, coordinator_of(bench, charite)
    lost = asyncio.Event()

    async def loses_the_receipt(header, chunks):
        receipt = await log(whole, header, chunks)
        if not lost.is_set():
            lost.set()
            say_something(charite)
            raise Unavailable("cut", rule="unavailable")
        return receipt

    bench.link.upload = loses_the_receipt
    witnessing = asyncio.create_task(bench.witness.run())
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.until(task, TaskState.DONE)
    assert not witnessing.done()
    witnessing.cancel()
    key = charite.m.voice.key.key_id
    in_log = {own.statement for own in log.own(key)}
    accepted = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, key, status=journal.ACCEPTED)
    )
    assert {said.statement.digest for said in accepted} == in_log
    (again,) = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, key, status=journal.QUEUED)
    )
    assert again.statement.kind == "software-started"
    bench.log.append(again.statement)


def say_something(charite):
    from site_agent import voice
    from site_agent.voice import Saying

    body = {"program": "concilium-site", "version": "1", "os": "Linux"}
    charite.store.now(
        lambda c: voice.say(c, charite.m.voice, Saying("software-started", body, "always"))
    )


class coordinator_of:  # noqa: N801 - reads as a function
    """A coordinator that takes what the ledger takes: the others' consent, one round."""

    def __init__(self, bench, charite):
        self.bench, self.charite, self.begun = bench, charite, False

    def begin(self):
        document = self.charite.document()
        log = self.bench.log
        log.propose(document)
        log.take_all_but("budget-reserved")
        log.in_force(document)
        log.open_round(document, model=self.bench.model)
        log.take_all()
        self.begun = True

    async def __call__(self, upload, header, chunks):
        from dataclasses import replace

        if not self.begun:
            self.begin()
        receipt = await upload(header, chunks)
        statement = statements.read(header.statement)
        return replace(receipt, seq=self.bench.log.append(statement))

    def own(self, key):
        from governance.ledger import store as ledger

        with ledger.reading(self.bench.log.engine) as c:
            return list(ledger.own_entries(c, [key]))
