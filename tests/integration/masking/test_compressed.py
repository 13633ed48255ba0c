"""Rounds of five agents whose updates are made smaller: what is committed, what is left."""

from __future__ import annotations

import folders as folders_module
import masked
import numpy as np
import pytest
import pytest_asyncio
from masked import NAMES
from summed import is_the_mean_of

from governance import tensors
from governance.compression import int8, random_k
from governance.compression.form import form_of
from site_agent.packing import RESIDUAL
from site_agent.store import carried

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MODEL = {"model": {"name": "mlp", "hidden": [16], "norm": "none", "seed": 1}}
INT8 = {"aggregation.compression": {"name": "int8"}, **MODEL}
RANDOM_K = {"aggregation.compression": {"name": "random-k", "keep": 0.2}, **MODEL}
WAYS = pytest.mark.parametrize("way", [INT8, RANDOM_K], ids=["int8", "random-k"])
PLAIN = {"aggregation.secure": False}


@pytest_asyncio.fixture
async def plain(five, tmp_path, monkeypatch):
    """Agents that take part without masks as well."""
    monkeypatch.setattr(masked.Agent, "secure", False)
    federation = masked.Federation(folders_module.copied(five, tmp_path))
    await federation.start()
    yield federation
    await federation.end()
    federation.verified()


def made(agent, round_):
    """What the agent's worker made in a round, flat in name order, by part."""
    update = list(agent.worker.made.values())[round_ - 1]
    parts = sorted({name.partition("/")[0] for name in update})
    return {
        part: np.concatenate(
            [update[n].reshape(-1) for n in sorted(update) if n.startswith(f"{part}/")]
        )
        for part in parts
    }


def sent(fed, agent, round_, part="y"):
    """What of it left, read from its bytes by hand: in the place of the model's numbers."""
    held, form = agent.task(round_), form_of(fed.agreement.agreement)
    raw = (agent.hospital.premises.state / held.update.path).read_bytes()
    each = 4 * form.words // len(form.parts)
    body = raw[-4 * form.words :][each * form.parts.index(part) :][:each]
    if form.digits:
        steps = np.frombuffer(body, np.int8)[: form.size]
        return steps * 2.0 ** -form.digits[part]
    seed = random_k.seed_of(agent.federation, round_, held.task.model.digest)
    dense = np.zeros(form.size)
    dense[random_k.chosen(seed, form.size, form.count)] = np.frombuffer(body, "<f4")
    return dense


def controls(agent):
    """What the updates that counted left, the newest first."""
    return agent.look(lambda c: carried.controls(c, agent.federation, state=carried.COMMITTED))


def left(agent):
    """What the newest update that counted left out."""
    path = agent.hospital.premises.state / controls(agent)[0].residual
    return tensors.load(path)[RESIDUAL]


async def settled(fed, rounds):
    """Wait until the agents know that so many rounds counted."""
    await fed.until_closed_round(rounds)
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: len(controls(agent)) == rounds)


def flat(tensors_by_name):
    return np.concatenate([tensors_by_name[n].reshape(-1) for n in sorted(tensors_by_name)])


def is_the_mean_of_all(fed, round_):
    """Hold that the model moved by the mean of what was sent, weighted as declared."""
    before, after = fed.committed(round_)
    said = [e for e in fed.entries("contribution-made") if e.body["round"] == round_]
    weights = {e.actor.removeprefix("site/"): e.body["declared_patients"] for e in said}
    total = sum(weights[n] * sent(fed, fed.agents[n], round_) for n in NAMES)
    mean = total / sum(weights[n] for n in NAMES)
    assert flat(after).tolist() == (flat(before) + mean).astype(np.float32).tolist()


def nothing_is_lost(fed):
    """Hold that what was sent in two rounds and what stays are all that was made."""
    for agent in fed.agents.values():
        whole = made(agent, 1)["y"] + made(agent, 2)["y"]
        gone = sent(fed, agent, 1) + sent(fed, agent, 2)
        np.testing.assert_allclose(gone + left(agent), whole, atol=1e-7)


def sizes(fed):
    return {e.body["size"] for e in fed.entries("contribution-made")}


async def test_a_masked_sum_under_int8_is_that_of_the_numbers_sent_bit_for_bit(fed):
    await fed.agreed(changes={**INT8, "aggregation.weighting": "equal"})
    await settled(fed, 2)
    is_the_mean_of(fed, list(NAMES))
    before, after = fed.committed(2)
    mean = sum(sent(fed, agent, 2) for agent in fed.agents.values()) / len(NAMES)
    assert flat(after).tolist() == (flat(before) + mean).astype(np.float32).tolist()
    nothing_is_lost(fed)
    form = form_of(fed.agreement.agreement)
    assert int8.ring_bits(5, 1) == 11
    assert sizes(fed) == {tensors.size_of({"masked": (-(-form.size * 11 // 32),)})}


async def test_a_masked_sum_under_random_k_is_the_plain_one_in_fixed_point(fed):
    await fed.agreed(changes=RANDOM_K)
    await settled(fed, 2)
    is_the_mean_of(fed, list(NAMES), 1)
    is_the_mean_of(fed, list(NAMES), 2)
    nothing_is_lost(fed)
    form = form_of(fed.agreement.agreement)
    assert sizes(fed) == {tensors.size_of({"masked": (form.count,)})}


@WAYS
async def test_without_masks_the_model_moves_by_the_mean_of_what_was_sent(plain, way):
    await plain.agreed(changes={**way, **PLAIN})
    await settled(plain, 2)
    is_the_mean_of_all(plain, 1)
    is_the_mean_of_all(plain, 2)
    nothing_is_lost(plain)
    assert sizes(plain) == {form_of(plain.agreement.agreement).file_bytes}


async def test_of_scaffold_s_control_variate_each_hospital_keeps_just_what_it_sent(fed):
    for agent in fed.agents.values():
        agent.worker.control = True
    once = {"strategy": {"name": "scaffold"}, "schedule.rounds": 1}
    await fed.agreed(changes={**RANDOM_K, **once})
    await settled(fed, 1)
    every = {name: sent(fed, agent, 1, "c") for name, agent in fed.agents.items()}
    for name, agent in fed.agents.items():
        # The scripted training says c_i⁺ = Δy and Δc = 3 Δy.
        (kept,) = controls(agent)
        own = flat(tensors.load(agent.hospital.premises.state / kept.path))
        update = made(agent, 1)
        np.testing.assert_allclose(own, update["y"] - update["c"] + every[name], atol=1e-6)
    state = tensors.load(fed.model_path(fed.closed()["state_out"]))
    np.testing.assert_allclose(flat(state), sum(every.values()) / len(NAMES), atol=1e-6)
