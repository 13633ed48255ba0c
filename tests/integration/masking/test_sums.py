"""Masked rounds between a coordinator and five agents: what is committed, and who saw what."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from masked import NAMES
from summed import is_the_mean_of

from governance import tensors

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def test_the_committed_model_is_the_plain_mean_in_fixed_point_bit_for_bit(fed):
    await fed.agreed()
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == list(NAMES)
    is_the_mean_of(fed, list(NAMES))
    every = list(NAMES)
    assert fed.steps() == [
        ("keys", every, []),
        ("shares", every, []),
        ("masked", every, []),
        ("signed", every, []),
        ("opened", every, []),
    ]


async def test_the_float_mean_is_within_the_bound_that_plan_states(fed):
    await fed.agreed()
    await fed.until_closed_round(1)
    before, after = fed.committed()
    terms = fed.terms("amc")
    scale = terms.parts[0].scale(5, max(terms.weights.values()))
    weights = terms.weights
    for name, x in before.items():
        updates = {site: fed.agents[site].update()[f"y/{name}"] for site in NAMES}
        mean = sum(weights[s] * u.astype(np.float64) for s, u in updates.items())
        exact = x + mean / sum(weights.values())
        assert np.abs(after[name] - exact).max() <= scale.rounding + 1e-7  # and float32's own


async def test_scaffold_s_two_parts_travel_as_one_vector_each_with_its_own_divisor(fed):
    for agent in fed.agents.values():
        agent.worker.control = True
    await fed.agreed(changes={"strategy": {"name": "scaffold"}})
    await fed.until_closed_round(1)
    is_the_mean_of(fed, list(NAMES))
    kept = tensors.load(fed.model_path(fed.closed()["state_out"]))
    mean = fed.plain_mean(list(NAMES))
    for name, c in kept.items():
        expected = mean.piece(name, slice(0, c.size)).astype(np.float32)
        assert c.reshape(-1).tolist() == expected.tolist()


async def test_what_is_on_the_coordinator_s_disk_is_no_hospital_s_update(fed):
    workers = [agent.worker for agent in fed.agents.values()]
    await fed.agreed()
    seen = {}

    def spooled():
        folder = fed.folders.coordinator / "state" / "spool"
        for path in folder.rglob("*.safetensors"):
            seen.setdefault(path.name, path.read_bytes())
        return (1, "closed") in [(r[0], r[2]) for r in fed.rounds()]

    await fed.until_holds(spooled)
    plain = [u.tobytes() for w in workers for made in w.made.values() for u in made.values()]
    for held in seen.values():
        assert not any(values in held for values in plain)
    assert seen
    contributed = {e.body["update"] for e in fed.entries("contribution-made")}
    assert not contributed & {digest for w in workers for digest in w.made}


async def test_a_site_that_is_gone_after_its_shares_drops_out_and_the_sum_is_the_others(fed):
    fed.agents["ucl"].worker.wait = waits = asyncio.Event()
    await fed.agreed(changes={"round.stragglers": {"close_early_after": "2s"}})
    await fed.until_closed_round(1)
    rest = [name for name in NAMES if name != "ucl"]
    assert fed.closed()["sites_in"] == rest
    assert fed.steps()[3] == ("signed", rest, ["ucl"])
    is_the_mean_of(fed, rest)
    waits.set()


async def test_secrets_are_forgotten_when_the_sum_is_opened(fed):
    await fed.agreed(changes={"schedule.rounds": 1})
    await fed.until_closed_round(1)
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of().step == "opened")
        assert agent.run_of().kept is None


async def test_an_update_is_masked_with_fresh_keys_in_each_round(fed):
    await fed.agreed()
    await fed.until_closed_round(2)
    first, second = (
        {e.body["update"] for e in fed.entries("contribution-made") if e.body["round"] == n}
        for n in (1, 2)
    )
    assert len(first) == len(second) == 5
    assert not first & second


async def test_status_says_whose_step_of_the_sum_is_waited_for(fed):
    await fed.agreed(changes={"schedule.rounds": 1})
    seen = set()

    async def looks():
        while True:
            report = await fed.status()
            seen.update(
                (report.round_state, one.waiting_for) for one in report.sites if one.waiting_for
            )

    looking = fed.aside(looks())
    await fed.until_closed_round(1)
    looking.cancel()
    assert ("keys", "its keys for the masked sum") in seen
