"""Hospitals drawn for each round, as the ledger lets anybody recompute it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from berlin import NIGHTS, tomorrow
from federations import SITES, ledger_of
from scripted_site import small_step
from small_agreement import GATED

from governance.ledger.query_rounds import one_round
from protos.words import TaskKind

pytestmark = pytest.mark.slow
TWO = {"sites.ready_at_least": 2, "sites.close_at_least": 2, "sites.per_round": 2}


def drawn_by_hand(fed, opened):
    """Draw again from the ledger alone, with nothing of the coordinator's."""
    (in_force,) = fed.entries("agreement-in-force")
    seed = sha256(f"concilium-draw/v1\n{in_force.digest}\n{opened['round']}\n".encode())
    assert opened["seed"] == seed.hexdigest()
    ranked = sorted(
        opened["drawn_from"],
        key=lambda site: sha256(f"{opened['seed']}\n{site}\n".encode()).digest(),
    )
    return sorted(ranked[:2])


async def all_ready(fed, *, changes):
    """Let all consent before the first round may open: two of them would be enough."""
    await fed.in_force(changes={**changes, "schedule.window": NIGHTS})
    await fed.at(tomorrow("20:00"))
    await fed.until(lambda: fed.entries("round-opened"))


async def test_hospitals_of_a_round_are_drawn_as_the_ledger_lets_anybody_recompute(timed):
    await all_ready(timed, changes={**TWO, "schedule.rounds": 2})
    for site in timed.sites.values():
        site.works()
    await timed.until(lambda: timed.entries("round-closed"))
    await timed.until(lambda: timed.entries("agreement-complete"))
    opened = [e.body for e in timed.entries("round-opened")]
    assert len(opened) == 2
    for body in opened:
        assert body["drawn_from"] == list(SITES)
        assert body["sites"] == drawn_by_hand(timed, body)
    with ledger_of(timed.url) as c:
        told = one_round(c, 1).notes[1]
    assert told == (
        f"Attempt 1 was drawn from amc, charite, ucl, by the seed {opened[0]['seed']}."
    )
    trained = {
        (e.body["round"], e.actor.removeprefix("site/"))
        for e in timed.entries("budget-reserved")
    }
    assert trained == {(body["round"], site) for body in opened for site in body["sites"]}
    timed.verified()


async def test_hospitals_that_were_not_drawn_are_asked_for_figures_so_that_the_gate_compares(
    timed,
):
    await all_ready(timed, changes={**TWO, **GATED, "schedule.rounds": 2})
    opened = timed.entries("round-opened")[0].body["sites"]
    for name, task in (await timed.tasks(sites=opened)).items():
        await timed.site(name).contribute(task, small_step(timed.site(name), task))
    for name, task in (await timed.tasks(TaskKind.EVALUATE)).items():
        assert (await timed.site(name).evaluate(task)).accepted
    await timed.until(lambda: timed.entries("round-closed"))
    assert timed.entries("round-closed")[0].body["sites_in"] == opened
    timed.verified()


async def test_another_attempt_asks_the_same_hospitals_as_far_as_they_are_ready(timed):
    await all_ready(timed, changes={**TWO, "round.attempts": 9})
    first = timed.entries("round-opened")[0].body["sites"]
    for name, task in (await timed.tasks(sites=first)).items():
        await timed.site(name).refuse(task)
        if len(timed.entries("round-opened")) > 1:
            break
    await timed.until(lambda: len(timed.entries("round-opened")) == 2)
    again = timed.entries("round-opened")[1].body
    assert (again["round"], again["attempt"], again["sites"]) == (1, 2, first)


async def test_all_take_part_while_no_more_are_ready_than_are_drawn(timed):
    document = await timed.propose(changes={**TWO, "schedule.rounds": 1})
    amc, charite = await timed.come("amc", "charite")
    await amc.consent(document)
    await charite.consent(document)
    await timed.tasks(sites=("amc", "charite"))
    opened = timed.entries("round-opened")[0].body
    assert opened["sites"] == opened["drawn_from"] == ["amc", "charite"]
