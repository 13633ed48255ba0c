"""`late: next-round`: an update that its round did not wait for counts in the next."""

from __future__ import annotations

import pytest
from federations import mean_by_hand
from scripted_site import refused, small_step

from governance import tensors
from governance.ledger import query_rounds
from protos.words import Cancel, TaskKind

NEXT = {
    "round.late": "next-round",
    "round.stragglers": {"close_early_after": "1s"},
    "schedule.rounds": 2,
}


@pytest.fixture
async def missed(fed):
    """Return ucl's tasks of rounds 1 and 2: it took both, and round 1 went on without it."""
    await fed.in_force(changes=NEXT)
    ucl = fed.site("ucl")
    first = await ucl.task()
    await ucl.accept(first)
    await fed.all_in("amc", "charite")
    assert await ucl.next(Cancel) == Cancel(first.task, "late")
    for name in ("amc", "charite"):
        fed.site(name).works()
    second = await ucl.task(round=2)
    await ucl.accept(second, reserve=False)
    return first, second


async def test_late_update_counts_in_the_next_round_as_much_as_any(fed, missed):
    first, second = missed
    ucl = fed.site("ucl")
    await ucl.hand_in_late(second, first)
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    one, two = (e.body for e in fed.entries("round-closed"))
    assert one["sites_out"] == {"ucl": "late"}
    assert sorted(two["sites_in"]) == ["amc", "charite", "ucl"]
    updates = {
        site.name: small_step(site, first if site is ucl else second)
        for site in fed.sites.values()
    }
    weights = {site.name: site.patients for site in fed.sites.values()}
    model = tensors.load(fed.model_path(two["model_in"]))
    made = mean_by_hand(model, updates, weights)
    found = tensors.load(fed.model_path(two["model_out"]))
    assert all((found[name] == value).all() for name, value in made.items())
    reserved = [e.body["round"] for e in fed.entries("budget-reserved") if "ucl" in e.actor]
    assert reserved == [1]
    fed.verified()


async def test_the_ledger_tells_of_a_late_update_in_both_rounds(fed, missed):
    first, second = missed
    ucl = fed.site("ucl")
    seq = (await ucl.hand_in_late(second, first)).seq
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    one, two = (fed.asked(lambda c, n=n: query_rounds.one_round(c, n)).notes for n in (1, 2))
    assert f"ucl was late in attempt 1; its update counts in round 2 (entry {seq})." in one
    assert f"The update of ucl in attempt 1 was trained in round 1 (entry {seq})." in two


async def test_who_was_late_may_train_anew_at_its_cost(fed, missed):
    _, second = missed
    ucl = fed.site("ucl")
    await ucl.reserve(second)
    await ucl.hand_in(second, small_step(ucl, second))
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    fed.verified()


async def test_one_late_update_counts_once(fed, missed):
    first, second = missed
    ucl = fed.site("ucl")
    await ucl.hand_in_late(second, first)
    async with refused("second-update"):
        await ucl.hand_in(second, small_step(ucl, second))
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    assert len([e for e in fed.entries("contribution-made") if e.actor == "site/ucl"]) == 1


async def test_late_update_of_who_was_in_is_refused(fed):
    await fed.in_force(changes=NEXT)
    firsts = await fed.all_in()
    for name in ("charite", "ucl"):
        fed.site(name).works()
    amc = fed.site("amc")
    await amc.evaluate(await amc.task(TaskKind.EVALUATE))
    second = await amc.task(round=2)
    await amc.accept(second, reserve=False)
    async with refused("late-update"):
        await amc.hand_in_late(second, firsts["amc"])
    amc.works()
    await fed.until(lambda: fed.running() is None or fed.running().round == 2)
