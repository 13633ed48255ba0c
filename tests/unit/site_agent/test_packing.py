"""What a hospital sends of an update, what it keeps for the next one, and when it does not."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hospital import FEDERATION, officer_of
from workbench import PATIENCE_S

from governance import tensors
from governance.compression.form import PACKED, Packed, form_of
from protos.errors import Corrupt
from site_agent import contribution, custody, drafts, exiting, opting, packing
from site_agent.agent import TaskState
from site_agent.jobs import Trained
from site_agent.standing import standing_of
from site_agent.store import carried
from site_agent.store.carried import COMMITTED, DROPPED

pytestmark = pytest.mark.asyncio

INT8 = {"aggregation__compression": {"name": "int8"}}
RANDOM_K = {"aggregation__compression": {"name": "random-k", "keep": 0.34}}
WAYS = pytest.mark.parametrize("way", [INT8, RANDOM_K], ids=["int8", "random-k"])
DELTA = np.array([0.25, -0.5, 0.125], np.float32)


def controls(charite, state):
    return charite.store.look(lambda c: carried.controls(c, FEDERATION, state=state))


def trained(charite, task, delta=DELTA):
    return written(charite.premises.task_folder(FEDERATION, task.task), delta)


def written(out, delta=DELTA):
    """What a worker leaves: one output's bias, then two weights."""
    update = {"y/linear.bias": delta[:1], "y/linear.weight": delta[1:].reshape(1, 2)}
    blob = tensors.write(update, out)
    return Trained(tensors.path_of(out, blob.digest), blob.digest, blob.size, 2, None)


async def packed(charite, document, task, delta=DELTA):
    standing = charite.store.look(lambda c: standing_of(c, FEDERATION, document.digest))
    made = trained(charite, task, delta)
    return await packing.packed(charite.m, task, made, document, standing)


def sent(document, made):
    form = form_of(document.agreement)
    task = Packed(form, tensors.load(made.update))
    return task.values("y", slice(0, form.count))


def dense(document, task, made):
    """What is sent, in the place of the model's three numbers."""
    form = form_of(document.agreement)
    at = form.at(FEDERATION, task.round, task.model.digest)
    whole = np.zeros(3, np.float32)
    whole[slice(None) if at is None else at] = sent(document, made)
    return whole


def left(made):
    return tensors.load(made.residual)[packing.RESIDUAL]


def kept(charite, task, made, state):
    """Keep what an attempt left, and what became of it."""

    def done(c):
        contribution.keep_control(c, charite.m, task, made)
        (one,) = carried.controls(c, FEDERATION, state=carried.PENDING)
        carried.set_control(c, FEDERATION, one, state)
        return one

    return charite.store.now(done)


async def test_an_update_leaves_as_it_is_where_no_compression_is_agreed(charite):
    document = charite.consented()
    task = charite.task(document)
    standing = charite.store.look(lambda c: standing_of(c, FEDERATION, document.digest))
    made = trained(charite, task)
    assert await packing.packed(charite.m, task, made, document, standing) == made


@WAYS
async def test_what_is_sent_and_what_is_left_are_the_update(charite, way):
    document = charite.consented(**way)
    task = charite.task(document)
    made = await packed(charite, document, task)
    assert tensors.shapes(made.update) == {PACKED: (1,)}
    np.testing.assert_allclose(dense(document, task, made) + left(made), DELTA, atol=1e-7)


@WAYS
async def test_what_a_round_that_counted_left_goes_with_the_next(charite, way):
    document = charite.consented(**way)
    first, second = charite.task(document), charite.task(document, round_=2)
    before = await packed(charite, document, first)
    kept(charite, first, before, COMMITTED)
    charite.restart()
    made = await packed(charite, document, second)
    wanted = DELTA + left(before)
    np.testing.assert_allclose(dense(document, second, made) + left(made), wanted, atol=1e-7)


@WAYS
async def test_what_a_round_that_was_abandoned_left_does_not(charite, way):
    document = charite.consented(**way)
    first, second = charite.task(document), charite.task(document, attempt=2)
    kept(charite, first, await packed(charite, document, first), DROPPED)
    made = await packed(charite, document, second)
    np.testing.assert_allclose(dense(document, second, made) + left(made), DELTA, atol=1e-7)


async def test_what_an_abandoned_round_left_takes_nothing_from_what_was_left_before(charite):
    document = charite.consented(**RANDOM_K)
    first, second, third = (charite.task(document, round_=n) for n in (1, 2, 3))
    before = await packed(charite, document, first)
    kept(charite, first, before, COMMITTED)
    kept(charite, second, await packed(charite, document, second), DROPPED)
    made = await packed(charite, document, third)
    wanted = DELTA + left(before)
    np.testing.assert_allclose(dense(document, third, made) + left(made), wanted, atol=1e-7)


async def test_a_retry_draws_the_coordinates_of_its_round(charite):
    document = charite.consented(**RANDOM_K)
    form = form_of(document.agreement)
    first, again = charite.task(document), charite.task(document, attempt=2)
    other = charite.task(document, round_=2)
    drawn = [form.at(FEDERATION, t.round, t.model.digest).tolist() for t in (first, again)]
    assert drawn[0] == drawn[1]
    made = await packed(charite, document, first)
    resent = await packed(charite, document, again)
    assert (made.digest, left(made).tolist()) == (resent.digest, left(resent).tolist())
    assert other.model.digest != first.model.digest


async def test_what_was_left_of_patients_who_opted_out_is_thrown_away(bench, charite):
    async def train(job, _progress):
        return written(job.out)

    bench.worker.train = train
    document = charite.consented(**RANDOM_K)
    await bench.done(document)
    (first,) = controls(charite, carried.PENDING)
    charite.store.now(lambda c: carried.set_control(c, FEDERATION, first, COMMITTED))
    opting.opt_out(charite.m, "patients", frozenset({"p3"}))
    await bench.done(document, round_=2)
    (second,) = controls(charite, carried.PENDING)
    stays = tensors.load(charite.premises.state / second.residual)[packing.RESIDUAL]
    # One number of three is sent in a round, so that one at least would be there twice.
    assert all(value in {0.0, *DELTA.tolist()} for value in stays.tolist())


@WAYS
async def test_a_power_cut_before_it_is_kept_makes_it_smaller_once_more_and_pays_once(
    bench, charite, way
):
    bench.worker.hang = asyncio.Event()
    document = charite.consented(**way)
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    await packed(charite, document, task)  # its files are there, and nothing says so
    await bench.power_cut()
    held = await bench.until(task, TaskState.DONE)
    (one,) = controls(charite, carried.PENDING)
    update, residual = (charite.premises.state / p for p in (held.update.path, one.residual))
    made = Trained(update, held.update.digest, held.update.size, 2, None, residual)
    np.testing.assert_allclose(dense(document, task, made) + left(made), DELTA, atol=1e-7)
    assert (len(bench.worker.jobs), len(charite.spent())) == (1, 1)


async def test_what_was_left_is_not_used_where_its_file_was_changed(charite):
    document = charite.consented(**RANDOM_K)
    first, second = charite.task(document), charite.task(document, round_=2)
    made = await packed(charite, document, first)
    kept(charite, first, made, COMMITTED)
    made.residual.write_bytes(made.residual.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Corrupt, match="not those of its name"):
        await packed(charite, document, second)


async def test_an_update_beyond_what_one_round_can_make_is_cut_and_the_rest_waits(charite):
    document = charite.consented(**RANDOM_K)
    task = charite.task(document)
    huge = DELTA * np.float32(1e6)
    made = await packed(charite, document, task, huge)
    assert np.abs(sent(document, made)).max() < 1e3
    np.testing.assert_allclose(dense(document, task, made) + left(made), huge, rtol=1e-6)


async def test_without_privacy_random_k_sends_each_number_as_it_is(charite):
    unsafe = {"privacy": "off", "round__local": {"steps": 2, "batch": 10}}
    charite.rewrite(policy__unsafe=["no-isolation", "no-privacy", "exact-small-classes"])
    document = charite.consented(**RANDOM_K, **unsafe)
    task = charite.task(document)
    made = await packed(charite, document, task, DELTA * np.float32(1e6))
    found = dense(document, task, made)
    assert found[found != 0].tolist() == (DELTA * 1e6)[found != 0].tolist()


async def test_leaving_erases_what_was_left(charite):
    document = charite.consented(**RANDOM_K)
    task = charite.task(document)
    made = await packed(charite, document, task)
    kept(charite, task, made, COMMITTED)
    charite.store.now(lambda c: custody.erase(c, charite.m))
    assert not made.residual.exists()
    assert charite.store.look(lambda c: custody.own(c, charite.m, document.digest)) is None


async def test_a_hospital_that_asks_to_leave_erases_it_at_once(charite):
    document = charite.consented(**RANDOM_K)
    task = charite.task(document)
    made = await packed(charite, document, task)
    kept(charite, task, made, COMMITTED)
    draft = charite.store.look(lambda c: exiting.draft(c, charite.m))
    signed = drafts.sign(draft, officer_of(charite.name))
    charite.store.now(lambda c: exiting.deliver(c, charite.m, signed))
    assert not made.residual.exists()
