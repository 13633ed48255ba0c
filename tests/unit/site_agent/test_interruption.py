"""A task broken off at each point: nothing is lost, paid twice or sent after its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hospital import FEDERATION, START, officer_of
from workbench import PATIENCE_S, written

from protos.errors import Refused, Unavailable
from protos.words import AgreementState, Cancel, TaskKind, UploadRef
from site_agent import contribution, drafts, office
from site_agent.agent import TaskState
from site_agent.store import carried, journal


async def test_a_cancel_in_the_midst_of_training_kills_the_worker(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    bench.receive(Cancel(task.task, "late"))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed)
    assert bench.link.uploads == {}
    assert len(charite.spent()) == 1


async def test_a_pause_in_the_midst_of_training_cancels_it(bench, charite):
    bench.worker.hang = asyncio.Event()
    document = charite.consented()
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    bench.bell.ring()
    await bench.until(task, TaskState.CANCELLED)
    bench.worker.hang = None
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.deliver(drafts.sign(draft, officer_of("charite")))
    await bench.done(document, round_=2)


async def test_progress_is_shown_while_it_trains(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    assert (bench.presence.task, bench.presence.steps_done) == (task.task, 2)


async def test_a_power_cut_while_training_trains_anew_and_pays_once(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    bench.worker.hang = None
    await bench.power_cut()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 2
    assert len(charite.spent()) == 1


@pytest.mark.parametrize("control", [False, True])
async def test_a_power_cut_after_the_update_was_whole_sends_it_as_it_is(
    bench, charite, control
):
    strategy = {"name": "scaffold", "server_rate": 1.0} if control else {"name": "fedavg"}
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented(strategy=strategy))
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    made = written(charite.premises.task_folder(FEDERATION, task.task), control=control)
    await bench.power_cut()
    held = await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 1
    assert (held.update.digest, held.update.steps) == (made.digest, 4)
    pending = charite.store.look(
        lambda c: carried.controls(c, FEDERATION, state=carried.PENDING)
    )
    assert len(pending) == int(control)


async def test_half_of_what_scaffold_makes_is_not_sent(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented(strategy={"name": "scaffold", "server_rate": 1.0}))
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    written(charite.premises.task_folder(FEDERATION, task.task), control=False)
    bench.worker.hang, bench.worker.control = None, True
    await bench.power_cut()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 2


async def test_a_power_cut_while_sending_sends_the_rest_of_the_same_update(bench, charite):
    whole, sending = bench.link.upload, asyncio.Event()

    async def hangs(header, chunks):
        bench.link.uploads[header.upload.digest] = b""
        sending.set()
        await asyncio.Event().wait()

    bench.link.upload = hangs
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(sending.wait(), PATIENCE_S)
    first = charite.held(task).update.digest
    bench.link.upload = whole
    await bench.power_cut()
    held = await bench.until(task, TaskState.DONE)
    assert held.update.digest == first
    assert len(bench.worker.jobs) == 1
    assert len(charite.said("contribution-made")) == 1


async def test_a_power_cut_before_the_receipt_waits_for_it(bench, charite):
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    await bench.power_cut()
    assert charite.held(task).state is TaskState.RESERVING
    await bench.reserved(task)
    await bench.until(task, TaskState.DONE)


# --- between two steps -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancelled", "withdrawn", "over"])
async def test_nothing_is_signed_or_sent_after_its_task_ended(bench, charite, how):
    """Another process ends the task, and the agent has not heard of it yet."""
    whole, tried = bench.link.upload, asyncio.Event()

    async def cut(header, chunks):
        tried.set()
        raise Unavailable("the line is cut", rule="unavailable")

    bench.link.upload = cut
    document = charite.proposed()
    charite.consent(document, until=START + timedelta(days=1))
    charite.take(AgreementState(document.digest, "in-force"))
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(tried.wait(), PATIENCE_S)
    await bench.stop()
    held = charite.held(task)
    if how == "cancelled":
        charite.take(Cancel(task.task, "late"))
    elif how == "withdrawn":
        charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    else:
        charite.clock.pass_(days=2)
    bench.link.upload = whole
    update = held.update
    ref = UploadRef(task.round, task.attempt, update.digest, update.size)
    path = charite.premises.state / update.path
    with pytest.raises(Refused):
        await contribution.send(charite.m, bench.link, held, ref, path)
    assert bench.link.uploads == {}
    bench.begin()
    await bench.eventually(lambda: charite.held(task).state is TaskState.CANCELLED)
    assert {said.status for said in charite.said("contribution-made")} == {journal.VOID}


async def test_figures_do_not_leave_once_the_consent_is_over(bench, charite):
    document = charite.proposed()
    charite.consent(document, until=START + timedelta(days=1))
    charite.take(AgreementState(document.digest, "in-force"))
    evaluated = bench.worker.evaluate

    async def slowly(job):
        charite.clock.pass_(days=2)
        return await evaluated(job)

    bench.worker.evaluate = slowly
    task = bench.offer(document, kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.CANCELLED)
    assert charite.said("evaluation-made") == []


async def test_a_pause_whose_bell_was_never_rung_cancels_too(bench, charite, monkeypatch):
    """The command line may be killed between its transaction and the bell."""
    monkeypatch.setattr("site_agent.duties.LOOK_AGAIN_S", 0.05)
    bench.worker.hang = asyncio.Event()
    document = charite.consented()
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    await bench.eventually(lambda: bench.worker.killed)
    assert charite.held(task).state is TaskState.CANCELLED


async def test_terms_that_a_power_cut_left_empty_are_written_again(bench, charite):
    document = charite.consented()
    await bench.done(document)
    bench.worker.jobs[0].document.write_bytes(b"")
    await bench.done(document, round_=2)
    assert bench.worker.jobs[1].document.read_bytes() == document.raw
