"""The schedule, by a clock that the test sets: hours and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from berlin import NIGHTS, tomorrow
from federations import SITES
from scripted_site import small_step

from protos.words import Quiet

pytestmark = pytest.mark.slow


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
