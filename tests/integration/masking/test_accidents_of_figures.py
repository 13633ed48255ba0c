"""Accidents while figures are summed: hospitals lost in each step, restarts, withdrawals."""

from __future__ import annotations

import pytest
from masked import NAMES, NOISED
from masked_post import Post
from test_figures import EVERY, REST, added

from coordinator import masking
from protos.words_masks import Delivered, Peers, Survivors, Unmask
from site_agent import office

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

STEPS = (Peers, Delivered, Survivors, Unmask)
SOON = NOISED | {"round.stragglers": {"close_early_after": "1s"}}


@pytest.fixture
def post(fed, attacker, monkeypatch):
    made = Post(fed, attacker, "evaluate")
    monkeypatch.setattr(masking, "patience", made.patience)
    return made


@pytest.mark.parametrize(
    ("step", "summed"),
    [(Peers, REST), (Delivered, REST), (Survivors, EVERY), (Unmask, EVERY)],
    ids=["keys", "shares", "vector", "signature"],
)
async def test_figures_are_summed_with_one_of_five_lost(fed, post, step, summed):
    post.loses(step, "ucl")
    await fed.agreed(changes=SOON)
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, summed), summed)
    assert fed.closed()["sites_in"] == EVERY


@pytest.mark.parametrize(
    "step", [Peers, Survivors, Unmask], ids=["keys", "vector", "signature"]
)
async def test_figures_are_missing_with_two_of_five_lost(fed, post, step):
    post.loses(step, "karolinska", "ucl")
    post.hurries = True
    await fed.agreed(changes=NOISED)
    assert await fed.missing() == "deadline"
    await fed.until_closed_round(1)
    assert not fed.entries("evaluation-summed")
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of(kind="evaluate").kept is None)


async def test_an_agent_killed_in_each_step_goes_on_and_the_sum_is_exact(fed, post):
    for step, name in zip(STEPS, NAMES, strict=False):
        post.then(step, name, fed.agents[name].restart)
    for step in STEPS:
        post.then(step, "ucl", fed.agents["ucl"].restart)
    await fed.agreed(changes=NOISED)
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, EVERY), EVERY)
    assert all(len(agent.spent()) == 2 for agent in fed.agents.values())  # once for each


async def test_a_coordinator_stopped_in_each_step_goes_on_and_the_sum_is_exact(fed, post):
    post.loses(Peers, "ucl")
    await fed.agreed(changes=NOISED)
    for step in STEPS:
        post.loses(step, "ucl")
        await fed.until_holds(lambda: "ucl" in post.kept)
        await fed.restart()
        await post.brings("ucl")
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, EVERY), EVERY)
    assert len(fed.entries("evaluation-opened")) == 1


@pytest.mark.parametrize("step", [Peers, Unmask], ids=["before its figures", "after"])
async def test_who_withdraws_while_figures_are_summed_ends_the_round(fed, post, step):
    async def withdraws():
        m = fed.agents["ucl"].hospital.m
        await m.store.do(lambda c: office.withdraw(c, m, fed.agreement))
        fed.agents["ucl"].member.bell.ring()

    post.loses(step, "ucl")
    post.then(step, "ucl", withdraws)
    await fed.agreed(changes=NOISED | {"round.attempts": 1})
    await fed.until_ended((1, 1, "abandoned", "consent"))
    assert not fed.entries("evaluation-summed")
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of(kind="evaluate").kept is None)
