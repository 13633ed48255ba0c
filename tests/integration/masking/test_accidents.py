"""Accidents in masked rounds: hospitals lost or withdrawn in each step, and restarts."""

from __future__ import annotations

import asyncio

import pytest
from federations import officer_of
from masked import NAMES
from masked_post import Post
from summed import is_the_mean_of

from coordinator import masking
from protos.errors import Refused
from protos.words_masks import Delivered, Peers, Survivors, Unmask
from site_agent import office, turning

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

ONCE = {"schedule.rounds": 1, "round.attempts": 1}
SOON = {"round.stragglers": {"close_early_after": "1s"}}
STEPS = (Peers, Delivered, Survivors, Unmask)
EVERY = list(NAMES)


def without(*gone):
    return [name for name in NAMES if name not in gone]


@pytest.fixture
def post(fed, attacker, monkeypatch):
    made = Post(fed, attacker)
    monkeypatch.setattr(masking, "patience", made.patience)
    return made


# --- lost ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "sites_in"),
    [
        (Peers, without("ucl")),  # lost after its keys
        (Delivered, without("ucl")),  # after its shares: its key is opened
        (Survivors, EVERY),  # after its update
        (Unmask, EVERY),  # after it signed
    ],
    ids=["keys", "shares", "upload", "signature"],
)
async def test_a_round_completes_with_one_of_five_lost(fed, post, step, sites_in):
    post.loses(step, "ucl")
    await fed.agreed(changes=ONCE | SOON)
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == sites_in
    is_the_mean_of(fed, sites_in)


@pytest.mark.parametrize(
    "step", [Peers, Survivors, Unmask], ids=["keys", "upload", "signature"]
)
async def test_a_round_is_abandoned_with_two_of_five_lost(fed, post, step):
    post.loses(step, "karolinska", "ucl")
    post.hurries = True
    await fed.agreed(changes=ONCE)
    await fed.until_ended((1, 1, "abandoned", "deadline"))
    assert not fed.entries("round-closed")
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of().kept is None)


async def fails(_job, _progress):
    raise Refused("the cohort is gone", rule="data-fault")


async def test_a_round_is_abandoned_with_two_of_five_lost_in_training(fed, post):
    for name in ("karolinska", "ucl"):
        fed.agents[name].worker.train = fails
    await fed.agreed(changes=ONCE)
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"))
    assert [step for step, *_ in fed.steps()] == ["keys", "shares"]


# --- withdrawn -----------------------------------------------------------------------------


def withdraws(fed, name):
    async def act():
        m = fed.agents[name].hospital.m
        await m.store.do(lambda c: office.withdraw(c, m, fed.agreement))
        fed.agents[name].member.bell.ring()

    return act


async def test_who_withdraws_before_u3_dropped_out(fed, post):
    fed.agents["ucl"].worker.wait = asyncio.Event()
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: fed.agents["ucl"].worker.jobs)
    await withdraws(fed, "ucl")()
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == without("ucl")
    is_the_mean_of(fed, without("ucl"))
    assert fed.steps()[3] == ("signed", without("ucl"), ["ucl"])
    assert fed.agents["ucl"].run_of().kept is None


@pytest.mark.parametrize("step", [Survivors, Unmask], ids=["to sign", "to open"])
async def test_who_withdraws_after_u3_ends_the_round(fed, post, step):
    post.loses(step, "ucl")
    post.then(step, "ucl", withdraws(fed, "ucl"))
    await fed.agreed(changes=ONCE)
    await fed.until_ended((1, 1, "abandoned", "consent"))
    assert not fed.entries("round-closed")
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of().kept is None)


# --- a new agent key -----------------------------------------------------------------------


async def test_who_replaces_its_agent_key_drops_out_and_nobody_is_named(fed, post):
    post.loses(Survivors, "ucl")
    await fed.agreed(changes={"schedule.rounds": 2})
    await fed.until_holds(lambda: "ucl" in post.kept)
    await fed.until_holds(lambda: not fed.agents["ucl"].at_work())
    h = fed.agents["ucl"].hospital
    turning.turn_agent(h.m, h.identity, [officer_of("ucl")])
    await post.brings("ucl")
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == EVERY
    took = {step: sites for step, sites, _ in fed.steps()}
    assert took["signed"] == took["opened"] == without("ucl")
    is_the_mean_of(fed, EVERY)
    assert fed.agents["ucl"].run_of().kept is None
    assert not fed.entries("complaint")
    assert not any(e.body["refused"] for e in fed.entries("masking-step"))
    await fed.until_closed_round(2)
    assert "ucl" in fed.closed(2)["sites_in"]


# --- restarts ------------------------------------------------------------------------------


async def test_an_agent_killed_in_each_step_goes_on_and_the_sum_is_exact(fed, post):
    for step, name in zip(STEPS, NAMES, strict=False):
        post.then(step, name, fed.agents[name].restart)
    for step in STEPS:
        post.then(step, "ucl", fed.agents["ucl"].restart)
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == EVERY
    is_the_mean_of(fed, EVERY)
    assert all(len(agent.spent()) == 1 for agent in fed.agents.values())


async def test_a_coordinator_stopped_in_each_step_goes_on_and_the_sum_is_exact(fed, post):
    post.loses(Peers, "ucl")
    await fed.agreed(changes=ONCE)
    for step, state in zip(
        STEPS, ("shares", "training", "consistency", "unmasking"), strict=True
    ):
        post.loses(step, "ucl")
        await fed.until_holds(lambda: "ucl" in post.kept)
        if state != "training":
            await fed.until_round(state)
        await fed.restart()
        await post.brings("ucl")
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == EVERY
    is_the_mean_of(fed, EVERY)


# --- again ---------------------------------------------------------------------------------


def contributed(fed, name):
    """What a site contributed: [(attempt, of, update)]."""
    return [
        (e.body["attempt"], e.body["of"], e.body["update"])
        for e in fed.entries("contribution-made")
        if e.actor == f"site/{name}"
    ]


def reserved(fed, name):
    return [
        e.body["attempt"] for e in fed.entries("budget-reserved") if e.actor == f"site/{name}"
    ]


async def test_a_retry_masks_the_stored_update_anew_and_reserves_nothing(fed, post):
    train = {}
    for name in ("karolinska", "ucl"):
        worker = fed.agents[name].worker
        train[name], worker.train = worker.train, fails_once_three_are_in(fed, worker)
    await fed.agreed(changes={"schedule.rounds": 1})
    await fed.until_closed_round(1)
    assert fed.rounds()[0] == (1, 1, "abandoned", "too-few-sites")
    (_, of, first), (_, again, second) = contributed(fed, "amc")
    assert of == again
    assert first != second
    assert reserved(fed, "amc") == [1]
    assert reserved(fed, "ucl") == [1, 2]
    assert fed.closed()["sites_in"] == EVERY
    is_the_mean_of(fed, EVERY, attempt=2)


def fails_once_three_are_in(fed, worker):
    train = worker.train

    async def once(job, progress):
        worker.train = train
        await fed.until_holds(lambda: len(fed.entries("contribution-made")) == 3)
        raise Refused("the disk is full", rule="disk-full")

    return once


async def test_a_site_that_signed_who_is_in_the_sum_trains_anew_for_a_retry(fed, post):
    post.loses(Unmask, "karolinska", "ucl")
    post.hurries = True
    await fed.agreed(changes={"schedule.rounds": 1})
    await fed.until_ended((1, 1, "abandoned", "deadline"))
    post.found()
    await fed.until_closed_round(1)
    for name in NAMES:
        (_, of, _), (_, again, _) = contributed(fed, name)
        assert of != again
        assert reserved(fed, name) == [1, 2]
    is_the_mean_of(fed, EVERY, attempt=2)
