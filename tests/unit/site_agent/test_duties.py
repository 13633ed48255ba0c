"""A task from its offer to its end, and what it leaves behind."""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
import pytest
from hospital import FEDERATION
from workbench import FIGURES

from governance import subgroups
from governance.figures import figures_of, from_json, to_json
from protos.words import TaskKind
from site_agent.agent import TaskState
from site_agent.jobs import Evaluated
from site_agent.store import carried, journal


async def test_a_round_at_a_site(bench, charite):
    document = charite.consented()
    task = await bench.done(document)
    (job,) = bench.worker.jobs
    assert (job.declared_patients, job.noise_seed, job.control) == (60, None, None)
    assert job.document.read_bytes() == document.raw
    assert job.model.read_bytes() == b"a model"
    held = charite.held(task)
    assert (
        hashlib.sha256(bench.link.uploads[held.update.digest]).hexdigest() == held.update.digest
    )
    (said,) = charite.said("contribution-made")
    assert (said.status, said.seq) == (journal.ACCEPTED, 77)
    body = said.statement.body
    assert (body["update"], body["base"], body["steps"]) == (held.update.digest, bench.model, 4)
    assert body["epsilon"] == charite.spent()[0].epsilon_total
    assert len(charite.spent()) == 1


async def test_no_batch_before_the_reservation_is_in_the_ledger(bench, charite):
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    for _ in range(50):
        await asyncio.sleep(0)
    assert bench.worker.jobs == []
    assert bench.link.asked == []


async def test_figures_are_disclosed_and_not_in_the_entry(bench, charite):
    task = bench.offer(charite.consented(), kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.DONE)
    (said,) = charite.said("evaluation-made")
    (told,) = said.disclosures
    assert (told.label, from_json(told.value)) == ("figures", FIGURES)
    assert said.statement.body["model"] == bench.model
    assert charite.spent() == []


BY_BAND = {
    "data__subgroups": ["band"],
    "data__features__0__bands": {"band": [5]},
    "privacy__metrics__minimum": 10,
}


def by_band(*counts):
    """What a worker says of 60 patients, half of them ill, and of groups of so many."""
    groups = [None if count is None else half_ill(count) for count in counts]
    return Evaluated(half_ill(60), subgroups.to_json({"band": tuple(groups)}))


def half_ill(count):
    labels = np.arange(count) % 2
    return figures_of(np.full(count, 0.5), labels, kind="binary", minimum=1)


async def test_figures_by_subgroup_go_with_those_of_all(bench, charite):
    bench.worker.evaluated = by_band(30, 30)
    task = bench.offer(charite.consented(**BY_BAND), kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.DONE)
    (said,) = charite.said("evaluation-made")
    assert {told.label: told.value for told in said.disclosures} == {
        "figures": to_json(bench.worker.evaluated.figures),
        "subgroups": bench.worker.evaluated.subgroups,
    }


@pytest.mark.parametrize("counts", [(18, None), (44, None), (30, 18)])
async def test_nothing_leaves_when_a_worker_says_what_the_minimum_hides(bench, charite, counts):
    bench.worker.evaluated = by_band(*counts)
    task = bench.offer(charite.consented(**BY_BAND), kind=TaskKind.EVALUATE)
    held = await bench.until(task, TaskState.REFUSED, TaskState.FAILED, TaskState.DONE)
    assert held.rule == "bad-figures"
    assert charite.said("evaluation-made") == []


async def test_the_unsafe_fixed_noise_is_another_for_each_round(bench, make):
    rehearsal = make(policy__unsafe=["no-isolation", "exact-small-classes", "fixed-noise-seed"])
    await bench.stop()
    bench.charite = rehearsal
    bench.begin()
    document = rehearsal.consented(privacy__noise_seed=7)
    await bench.done(document)
    await bench.done(document, round_=2)
    seeds = [job.noise_seed for job in bench.worker.jobs]
    assert None not in seeds
    assert seeds[0] != seeds[1]
    expected = hashlib.sha256(b"7/charite/1/1").hexdigest()[:8]
    assert seeds[0] == int(expected, 16)


# --- SCAFFOLD --------------------------------------------------------------------------------


async def test_the_control_variate_of_a_committed_round_goes_into_the_next(bench, charite):
    from site_agent.store.carried import COMMITTED

    bench.worker.control = True
    document = charite.consented(strategy={"name": "scaffold", "server_rate": 1.0})
    await bench.done(document)
    (control,) = charite.store.look(
        lambda c: carried.controls(c, FEDERATION, state=carried.PENDING)
    )
    charite.store.now(lambda c: carried.set_control(c, FEDERATION, control, COMMITTED))
    await bench.done(document, round_=2)
    assert bench.worker.jobs[0].control is None
    assert bench.worker.jobs[1].control == charite.premises.state / control.path
    assert bench.worker.jobs[1].control.exists()


# --- housekeeping ----------------------------------------------------------------------------


async def test_only_the_last_tasks_leave_files(bench, charite):
    document = charite.consented(round__attempts=9, privacy__noise_multiplier=8.0)
    for attempt in range(1, 10):
        bench.model = bench.link.serve(f"model {attempt}".encode())
        await bench.done(document, attempt=attempt)
    await bench.until(charite.task(document, attempt=9), TaskState.DONE)
    folder = charite.premises.work_of(FEDERATION)
    await bench.eventually(lambda: len(list(folder.rglob("*.safetensors"))) <= 12)
