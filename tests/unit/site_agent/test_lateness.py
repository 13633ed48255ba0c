"""`late: next-round` at a hospital: a training is brought to its end and counts in the next."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hospital import FEDERATION, SITE, digest_of
from workbench import PATIENCE_S

from protos.words import BlobRef, Cancel, TaskAnswer, UploadRef
from site_agent import contribution, deciding, office
from site_agent.agent import Outcome, TaskState
from site_agent.deciding import Facts
from site_agent.readiness import Seen
from site_agent.store import carried, work
from site_agent.store.carried import DROPPED, PENDING, Control
from site_agent.store.work import Update

SEEN = Seen(patients=60)
MODEL = digest_of("model 2")
CLOSED = Outcome("closed", frozenset({"amc", "ucl"}), late=frozenset({SITE}), made=(MODEL, ""))
UPDATE = Update("e" * 64, 100, "work/u", 4)


def decided(charite, task, outcomes):
    charite.take(task)
    facts = Facts(timedelta(), SEEN, frozenset(), outcomes)
    return charite.store.now(lambda c: deciding.decide(c, charite.m, charite.held(task), facts))


def missed(charite, *, late="next-round", state=TaskState.CANCELLED):
    """Make an update in round 1, which goes on without it; return the agreement."""
    document = charite.consented(round__late=late)
    task = charite.task(document)
    decided(charite, task, {})

    def change(c):
        work.keep_update(c, FEDERATION, task.task, UPDATE)
        control = Control(document.digest, 1, 1, "work/c", DROPPED)
        carried.keep_control(c, FEDERATION, control)
        work.move(c, FEDERATION, task.task, state=state, rule="late")

    charite.store.now(change)
    return document


def test_late_update_is_sent_for_the_next_round_at_no_cost(charite):
    document = missed(charite)
    task = charite.task(document, round_=2)
    assert decided(charite, task, {(1, 1): CLOSED}) is TaskState.SENDING
    assert charite.held(task).update == UPDATE
    assert len(charite.spent()) == 1
    (control,) = charite.store.look(lambda c: carried.controls(c, FEDERATION, state=PENDING))
    assert (control.round, control.attempt, control.path) == (2, 1, "work/c")


def test_late_update_says_in_which_round_it_was_trained(charite):
    document = missed(charite)
    task = charite.task(document, round_=2)
    decided(charite, task, {(1, 1): CLOSED})
    held, ref = charite.held(task), UploadRef(2, 1, UPDATE.digest, UPDATE.size)
    said = charite.store.now(lambda c: contribution._said(c, charite.m, held, ref))
    body = said.body
    assert (body["round"], body["trained_in"]) == (2, 1)
    assert body["base"] == charite.task(document).model.digest


@pytest.mark.parametrize(
    "outcome",
    [
        replace(CLOSED, late=frozenset()),
        replace(CLOSED, made=("another", "")),
        Outcome("open"),
        None,
    ],
)
def test_update_of_a_round_that_was_not_closed_without_it_is_not_sent(charite, outcome):
    document = missed(charite)
    outcomes = {} if outcome is None else {(1, 1): outcome}
    task = charite.task(document, round_=2)
    assert decided(charite, task, outcomes) is TaskState.RESERVING
    assert len(charite.spent()) == 2


def test_late_update_is_discarded_where_the_agreement_says_so(charite):
    document = missed(charite, late="discard")
    task = charite.task(document, round_=2)
    assert decided(charite, task, {(1, 1): CLOSED}) is TaskState.RESERVING


def test_late_update_counts_in_no_later_round(charite):
    document = missed(charite)
    model = BlobRef(MODEL, 268)
    task = charite.task(document, round_=3, model=model)
    assert decided(charite, task, {(1, 1): CLOSED}) is TaskState.RESERVING


@pytest.mark.parametrize(
    ("reason", "state"),
    [("too-few-sites", TaskState.SENDING), ("gate", TaskState.RESERVING)],
)
def test_late_update_that_was_summed_is_not_sent_in_a_retry(charite, reason, state):
    document = missed(charite)
    first = charite.task(document, round_=2)
    decided(charite, first, {(1, 1): CLOSED})
    charite.take(Cancel(first.task, "round-over"))
    outcomes = {(1, 1): CLOSED, (2, 1): Outcome("abandoned", reason=reason)}
    again = charite.task(document, round_=2, attempt=2)
    assert decided(charite, again, outcomes) is state


# --- at work ---------------------------------------------------------------------------------


async def training(bench, charite, **changes):
    """Return a task that trains until `bench.worker.last` is set."""
    bench.worker.hang, bench.worker.last = asyncio.Event(), asyncio.Event()
    task = bench.offer(charite.consented(**changes))
    await bench.reserved(task)
    async with asyncio.timeout(PATIENCE_S):
        await bench.worker.hang.wait()
    return task


async def test_training_that_comes_late_is_brought_to_its_end_and_kept(bench, charite):
    bench.worker.control = True
    task = await training(bench, charite, round__late="next-round")
    bench.receive(Cancel(task.task, "late"))
    assert charite.held(task).state is TaskState.LATE
    bench.worker.last.set()
    held = await bench.until(task, TaskState.CANCELLED)
    assert held.update is not None
    assert (charite.premises.state / held.update.path).exists()
    assert bench.link.uploads == {}
    assert bench.worker.killed == 0
    assert charite.sent(TaskAnswer)[-1].accepted
    (control,) = charite.store.look(lambda c: carried.controls(c, FEDERATION, state=DROPPED))
    assert (control.round, control.attempt) == (1, 1)


@pytest.mark.parametrize("rule", ["round-over", "no-answer", "consent"])
async def test_training_that_is_cancelled_for_another_reason_ends(bench, charite, rule):
    task = await training(bench, charite, round__late="next-round")
    bench.receive(Cancel(task.task, rule))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed)


async def test_late_training_ends_once_the_next_round_is_over_too(bench, charite):
    task = await training(bench, charite, round__late="next-round")
    bench.receive(Cancel(task.task, "late"))
    document = charite.document(round__late="next-round")
    second = bench.offer(document, round_=2)
    bench.receive(Cancel(second.task, "no-answer"))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed)
    assert charite.held(task).update is None


async def test_late_training_ends_with_the_consent(bench, charite):
    task = await training(bench, charite, round__late="next-round")
    bench.receive(Cancel(task.task, "late"))
    document = charite.document(round__late="next-round")
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    bench.bell.ring()
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed)


async def test_power_cut_in_a_late_training_trains_anew_and_pays_once(bench, charite):
    task = await training(bench, charite, round__late="next-round")
    bench.receive(Cancel(task.task, "late"))
    bench.worker.hang = None
    await bench.power_cut()
    held = await bench.until(task, TaskState.CANCELLED)
    assert held.update is not None
    assert len(charite.spent()) == 1
