"""How an agreement ends by what its models reach, and when people must look first."""

from __future__ import annotations

import pytest
from scripted_site import good_figures
from small_agreement import GATED

from protos.words import Cancel, FinalModel, TaskKind

pytestmark = pytest.mark.slow


# --- the end ---------------------------------------------------------------------------------


async def ends(fed, shares, **changes):
    """Run an agreement whose candidates have these shares right; return its last entry."""
    await fed.in_force(changes={"schedule.rounds": 9, **changes})
    for site in fed.sites.values():
        site.works(figures=lambda _, task: good_figures(shares[task.round - 1]))
    finals = [await site.next(FinalModel) for site in fed.sites.values()]
    (last,) = fed.entries("agreement-complete")
    made = fed.entries("round-closed")[-1].body["model_out"]
    assert {final.model.digest for final in finals} == {made}
    return last.body


async def test_agreement_without_a_gate_ends_when_its_target_is_reached(fed):
    stop = {"metric": "accuracy", "reached": 0.8}
    body = await ends(fed, [0.7, 0.85], **{"schedule.stop": stop})
    assert body["reason"] == "target-reached"
    assert len(fed.entries("round-closed")) == 2
    said = (await fed.status()).state
    assert said == (
        "the agreement is complete: accuracy reached 0.850, its schedule's target is 0.8"
    )


async def test_agreement_ends_when_patience_does_whatever_metric_its_gate_has(fed):
    gate = {"quality.accept_if": {"metric": "log-loss", "not_worse_than": 0.5}}
    stop = {"schedule.stop": {"metric": "accuracy", "patience": 1}}
    body = await ends(fed, [0.8, 0.75], **gate, **stop)
    assert body["reason"] == "no-better"
    assert len(fed.entries("round-closed")) == 2
    said = (await fed.status()).state
    assert said == (
        "the agreement is complete: accuracy got no better in 1 evaluation, its last is 0.750"
    )


async def test_rounds_that_are_done_are_the_reason_too(fed):
    body = await ends(fed, [0.7], **{"schedule.rounds": 1})
    assert body["reason"] == "rounds-done"
    assert (await fed.status()).state == "the agreement is complete"


async def test_nobody_is_waited_for_once_the_agreement_is_complete(fed):
    document = await fed.in_force(changes={"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works(figures=lambda _, __: good_figures(0.7))
    await fed.until(lambda: fed.entries("agreement-complete"))
    amc = fed.site("amc")
    await amc.pause(document)
    (row,) = [row for row in (await fed.status()).sites if row.name == "amc"]
    assert (row.consent, row.waiting_for) == ("paused", "")
    charite, told = fed.site("charite"), fed.site("charite").disclose("reason", "our nights")
    await charite.must_say("consent-objected", {"agreement": document.digest}, told=(told,))
    rows = {row.name: row.waiting_for for row in (await fed.status()).sites}
    assert set(rows.values()) == {""}


async def test_candidates_that_were_rejected_do_not_count_for_the_target(fed):
    stop = {"schedule.stop": {"metric": "accuracy", "patience": 1}, "round.attempts": 9}
    await fed.in_force(changes={**GATED, **stop, "schedule.rounds": 2})
    shares = {(1, 1): 0.9, (2, 1): 0.5, (2, 2): 0.5, (2, 3): 0.95}
    for site in fed.sites.values():
        site.works(figures=lambda _, task: good_figures(shares[task.round, task.attempt]))
    await fed.until(lambda: len(fed.rounds()) == 4 and fed.rounds()[-1][2] != "open")
    assert fed.rounds() == [
        (1, 1, "closed", ""),
        (2, 1, "abandoned", "gate"),
        (2, 2, "abandoned", "gate"),
        (2, 3, "closed", ""),
    ]
    await fed.until(lambda: fed.entries("agreement-complete"))
    assert fed.entries("agreement-complete")[0].body["reason"] == "rounds-done"


async def test_agreement_that_supersedes_another_counts_its_own_figures(fed):
    stop = {"schedule.stop": {"metric": "accuracy", "patience": 1}}
    await fed.in_force(changes={**stop, "schedule.rounds": 9})
    shares = iter([0.9, 0.8, 0.8])
    share = {}

    def figures(_, task):
        if task.round not in share:
            share[task.round] = next(shares)
        return good_figures(share[task.round])

    await fed.all_in()
    second = await fed.propose(changes={**stop, "schedule.rounds": 8})
    for site in fed.sites.values():
        await site.consent(second)
        site.works(figures=figures)
    await fed.until(lambda: fed.entries("agreement-complete"))
    closed = [e.body["agreement"] == second.digest for e in fed.entries("round-closed")]
    assert closed == [False, True, True]


# --- when people must look -------------------------------------------------------------------


async def refuses(fed, attempt):
    """Let so many sites refuse an attempt of the first round that it is abandoned."""
    tasks = await fed.tasks(attempt=attempt)
    for name in ("charite", "ucl"):
        await fed.site(name).refuse(tasks[name])
    assert (await fed.site("amc").next(Cancel)).task == tasks["amc"].task


async def judged(fed, round_, attempt, share):
    """Let an attempt run until the gate has figures of this share from all."""
    await fed.all_in()
    over = len([r for r in fed.rounds() if r[2] != "open"]) + 1
    for name, task in (await fed.tasks(TaskKind.EVALUATE, attempt=attempt)).items():
        assert task.round == round_
        await fed.site(name).evaluate(task, good_figures(share))
    await fed.until(lambda: len([r for r in fed.rounds() if r[2] != "open"]) == over)


async def test_attempts_that_are_spent_pause_the_federation_beyond_a_restart(fed):
    await fed.in_force(changes={"round.attempts": 2})
    await refuses(fed, 1)
    await refuses(fed, 2)
    why = "paused: round 1 was abandoned 2 times; the last reason: too-few-sites"
    assert (await fed.status()).state == why
    await fed.leave()
    await fed.restart()
    await fed.come()
    assert (await fed.status()).state == why
    assert len(fed.rounds()) == 2


async def test_resuming_gives_a_round_whose_attempts_are_spent_one_more(fed):
    await fed.in_force(changes={"round.attempts": 1, "schedule.rounds": 1})
    await refuses(fed, 1)
    await fed.operator_acts("resume")
    await refuses(fed, 2)
    assert (await fed.status()).state.startswith("paused: round 1 was abandoned 2 times")
    await fed.operator_acts("resume")
    for site in fed.sites.values():
        site.works()
    await fed.until_ended(
        (1, 1, "abandoned", "too-few-sites"),
        (1, 2, "abandoned", "too-few-sites"),
        (1, 3, "closed", ""),
    )


async def test_gate_refusals_count_in_a_row_and_anything_between_begins_anew(fed):
    await fed.in_force(changes={**GATED, "schedule.rounds": 3, "round.attempts": 9})
    await judged(fed, 1, 1, 0.9)
    await judged(fed, 2, 1, 0.5)
    await judged(fed, 2, 2, 0.5)
    await judged(fed, 2, 3, 0.9)
    await judged(fed, 3, 1, 0.5)
    assert (await fed.status()).state.startswith("round 3, attempt 2")
    await judged(fed, 3, 2, 0.5)
    await judged(fed, 3, 3, 0.5)
    said = (await fed.status()).state
    assert said.startswith("paused: the gate refused three candidates in a row; ")
    assert said.endswith("the last reason: gate (worse)")
    assert len(fed.entries("candidate-rejected")) == 5
