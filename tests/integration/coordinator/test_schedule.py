"""The schedule, by a clock that the test sets: hours, quiet hours, draws, ends and pauses."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from federations import SITES, Clock, ledger_of
from scripted_site import good_figures, small_step
from small_agreement import GATED

from governance.ledger.query_rounds import one_round
from protos.words import Cancel, FinalModel, Quiet, TaskKind

pytestmark = pytest.mark.slow
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NIGHTS = {"days": DAYS, "from": "20:00", "to": "06:00", "zone": "Europe/Berlin"}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def tomorrow(clock):
    """A time of tomorrow by Berlin's clock; certificates are of today."""
    day = (datetime.now(UTC) + timedelta(days=1)).astimezone(BERLIN).date()
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=BERLIN)


@pytest_asyncio.fixture
async def timed(fed):
    """A coordinator at tomorrow's noon in Berlin."""
    return await fed.by(Clock(tomorrow("12:00")))


# --- the agreement's hours -------------------------------------------------------------------


async def test_outside_its_hours_the_federation_waits_and_says_until_when(timed):
    await timed.in_force(changes={"schedule.window": NIGHTS, "round.deadline": "2h"})
    said = (await timed.status()).state
    evening = f"{tomorrow('20:00'):%a %Y-%m-%d} 20:00 (Europe/Berlin)"
    assert said == f"waits for its hours: rounds may open again on {evening}"
    await timed.at(tomorrow("20:00") - timedelta(seconds=1))
    assert timed.rounds() == []
    await timed.at(tomorrow("20:00"))
    assert set(await timed.tasks()) == set(SITES)
    opened = timed.entries("round-opened")[0].body
    assert opened["deadline"] == timed.base.timestamp(tomorrow("22:00").astimezone(UTC))


async def test_no_round_opens_that_its_deadline_would_carry_past_the_window(timed):
    timed.clock.set(tomorrow("20:00"))
    changes = {
        "schedule.window": {**NIGHTS, "to": "23:00"},
        "round.deadline": "2h",
        "schedule.rounds": 2,
        "round.stragglers": "wait",
    }
    await timed.in_force(changes=changes)
    for site in timed.sites.values():
        task = await site.task()
        await site.contribute(task, small_step(site, task))
    timed.clock.set(tomorrow("21:00"))  # 21:00 and 2 h are 23:00: a last one
    for site in timed.sites.values():
        site.works()
    await timed.until(lambda: len(timed.entries("round-closed")) == 2)
    assert [r[2] for r in timed.rounds()] == ["closed"] * 2


async def test_round_that_ends_too_late_for_another_is_the_last_of_its_night(timed):
    timed.clock.set(tomorrow("20:00"))
    window = {**NIGHTS, "to": "23:00"}
    await timed.in_force(changes={"schedule.window": window, "round.deadline": "2h"})
    tasks = await timed.tasks()
    timed.clock.set(tomorrow("21:00") + timedelta(seconds=1))
    for site in timed.sites.values():
        await site.contribute(tasks[site.name], small_step(site, tasks[site.name]))
        site.works()
    await timed.until(lambda: len(timed.entries("round-closed")) == 1)
    evening = f"{tomorrow('20:00') + timedelta(days=1):%a %Y-%m-%d} 20:00"
    assert evening in (await timed.status()).state
    assert len(timed.rounds()) == 1
    await timed.at(tomorrow("20:00") + timedelta(days=1))
    await timed.until(lambda: len(timed.entries("round-closed")) == 2)


async def test_hours_hold_after_a_restart(timed):
    await timed.in_force(changes={"schedule.window": NIGHTS})
    await timed.leave()
    timed.clock.set(tomorrow("19:59"))
    await timed.restart()
    await timed.come()
    assert "waits for its hours" in (await timed.status()).state
    assert timed.rounds() == []
    await timed.at(tomorrow("20:00"))
    await timed.tasks()


async def test_before_its_first_day_an_agreement_waits(timed):
    begins = (tomorrow("12:00") + timedelta(days=2)).date()
    valid = {"valid.from": begins.isoformat()}
    await timed.in_force(changes=valid)
    said = (await timed.status()).state
    assert (
        said
        == f"waits for its hours: rounds may open again on {begins:%a %Y-%m-%d} 00:00 (UTC)"
    )
    await timed.at(datetime.combine(begins, time(), tzinfo=UTC))
    await timed.tasks()


# --- the hospitals' quiet hours --------------------------------------------------------------


def quiet(start, end):
    return Quiet(tomorrow(start).astimezone(UTC), tomorrow(end).astimezone(UTC))


async def test_site_in_its_quiet_hours_is_not_asked_and_status_says_why_it_waits(timed):
    for name in ("amc", "charite"):
        timed.site(name).quiet = quiet("07:00", "19:00")
    await timed.in_force()
    said = (await timed.status()).state
    assert said.startswith("waits until enough sites are ready: 1 of 3; amc has quiet hours")
    until = f"{quiet('07:00', '19:00').end:%a %Y-%m-%d %H:%M} (UTC)"
    assert until in said
    told = {site.name: site.waiting_for for site in (await timed.status()).sites}
    assert told["amc"].startswith("the end of its quiet hours")
    assert told["amc"].endswith(until)
    assert told["ucl"] == ""
    await timed.at(tomorrow("19:00"))
    assert set(await timed.tasks()) == set(SITES)
    assert len(timed.rounds()) == 1


async def test_round_opens_without_a_site_in_its_quiet_hours_when_enough_others_are_ready(
    timed,
):
    timed.site("ucl").quiet = quiet("07:00", "19:00")
    await timed.in_force(changes={"sites.ready_at_least": 2})
    assert set(await timed.tasks(sites=("amc", "charite"))) == {"amc", "charite"}
    assert timed.entries("round-opened")[0].body["sites"] == ["amc", "charite"]


async def test_site_whose_quiet_hours_a_deadline_falls_into_is_not_asked(timed):
    timed.site("amc").quiet = quiet("13:00", "15:00")
    await timed.in_force(changes={"round.deadline": "2h"})
    assert "amc has quiet hours" in (await timed.status()).state
    assert timed.rounds() == []
    await timed.at(tomorrow("15:00"))
    await timed.tasks()


async def test_quiet_hours_that_end_before_the_deadline_are_no_obstacle(timed):
    timed.site("amc").quiet = quiet("13:00", "13:30")
    await timed.in_force(changes={"round.deadline": "2h"})
    await timed.tasks()


async def test_site_that_tells_of_other_quiet_hours_is_asked_at_once(timed):
    amc = timed.site("amc")
    amc.quiet = quiet("07:00", "19:00")
    await timed.in_force()
    assert timed.rounds() == []
    amc.quiet = None
    await amc.beat()
    await timed.tasks()


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


# --- hospitals drawn for each round ----------------------------------------------------------

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
    assert said == "paused: the gate refused three candidates in a row; the last reason: gate"
    assert len(fed.entries("candidate-rejected")) == 5
