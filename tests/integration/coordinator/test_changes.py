"""A change of an agreement in force: by itself, after the notice, or by consents anew."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest_asyncio
from federations import SITES, Clock

from protos.words import AgreementState

DAY = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(12), tzinfo=UTC)
NOTICE = {"notice": "2d", "schedule.rounds": 9}
TWO = {**NOTICE, "sites.ready_at_least": 2, "sites.close_at_least": 2}


@pytest_asyncio.fixture
async def timed(fed):
    """A coordinator at tomorrow's noon, by a clock that the test sets."""
    return await fed.by(Clock(DAY))


async def acknowledge(site, document, former, klass="editorial"):
    body = {
        "agreement": document.digest,
        "material": document.material,
        "former": former.digest,
        "class": klass,
    }
    return await site.must_say("change-acknowledged", body)


async def told(fed, document, state):
    for site in fed.sites.values():
        await site.next(AgreementState, agreement=document.digest, state=state)


async def refused_by(fed, *names):
    """Let sites refuse the task that they have, so that its attempt ends."""
    for name in names:
        await fed.site(name).refuse(await fed.site(name).task())


async def test_an_editorial_change_takes_force_between_rounds_and_rounds_go_on(fed):
    first = await fed.in_force(changes=NOTICE)
    second = await fed.propose(changes={**NOTICE, "title": "The same, renamed"})
    assert (await fed.status()).agreement == first.digest  # round 1 is at work
    for site in fed.sites.values():
        site.works()
    await told(fed, second, "in-force")
    assert (await fed.status()).state.startswith("waits until enough sites are ready: 0 of 3")
    for site in fed.sites.values():
        await acknowledge(site, second, first)
    await fed.until(lambda: len(fed.entries("round-opened")) > 1)
    opened = [e.body for e in fed.entries("round-opened")][1]
    closed = fed.entries("round-closed")[0].body
    assert (opened["agreement"], opened["model"]) == (second.digest, closed["model_out"])
    fed.verified()


async def test_an_operational_change_waits_for_the_notice(timed):
    first = await timed.in_force(changes=NOTICE)
    tasks = await timed.tasks()
    await timed.site("amc").close()
    for name in ("charite", "ucl"):
        await timed.site(name).refuse(tasks[name])
    second = await timed.propose(changes={**NOTICE, "round.deadline": "20m"})
    status = await timed.at(DAY + timedelta(days=2) - timedelta(seconds=1))
    assert status.agreement == first.digest
    assert f"takes force on {DAY + timedelta(days=2):%Y-%m-%d %H:%M} UTC" in status.state
    status = await timed.at(DAY + timedelta(days=2))
    assert status.agreement == second.digest
    await timed.come("amc")
    await told(timed, first, "superseded")
    for site in timed.sites.values():
        await acknowledge(site, second, first, "operational")
    assert {row.consent for row in (await timed.status()).sites} == {"in-force"}
    timed.verified()


async def test_a_site_that_objects_is_suspended_and_the_change_takes_force_without_it(timed):
    first = await timed.in_force(changes=TWO)
    amc, charite, ucl = (timed.site(name) for name in SITES)
    second = await timed.propose(changes={**TWO, "round.deadline": "20m"})
    reason = (amc.disclose("reason", "our nights"),)
    await amc.must_say("consent-objected", {"agreement": first.digest}, told=reason)
    tasks = [(site, await site.task()) for site in (charite, ucl)]
    timed.clock.set(DAY + timedelta(days=2))  # else the round may be tried again before
    for site, task in tasks:
        await site.refuse(task)
    await timed.at(DAY + timedelta(days=2))
    await told(timed, second, "in-force")
    for site in (amc, charite, ucl):
        await acknowledge(site, second, first, "operational")
    await timed.tasks(sites=("charite", "ucl"), agreement=second.digest)
    rows = {row.name: row for row in (await timed.status()).sites}
    assert rows["amc"].consent == "objected"
    assert "our nights" in rows["amc"].waiting_for or "resume" in rows["amc"].waiting_for
    await amc.resume(second)
    timed.verified()


async def test_a_material_change_waits_for_enough_and_a_late_consent_brings_one_back(fed):
    first = await fed.in_force(changes=TWO)
    second = await fed.propose(changes={**TWO, "optimizer.rate": 0.1})
    amc, charite, ucl = (fed.site(name) for name in SITES)
    await amc.consent(second)
    assert (await fed.status()).agreement == first.digest
    await charite.consent(second)
    await refused_by(fed, "amc", "charite")
    await told(fed, second, "in-force")
    opened = await fed.tasks(sites=("amc", "charite"), agreement=second.digest)
    rows = {row.name: row.consent for row in (await fed.status()).sites}
    assert (rows["amc"], rows["ucl"]) == ("in-force", "not given")
    await ucl.consent(second)
    for name, task in opened.items():
        await fed.site(name).refuse(task)
    again = await fed.tasks(agreement=second.digest, attempt=opened["amc"].attempt + 1)
    assert set(again) == set(SITES)
    fed.verified()


async def test_proposals_that_nobody_answered_lapse_when_a_later_one_takes_force(fed):
    first = await fed.propose(changes={**TWO, "optimizer.rate": 0.2})
    second = await fed.propose(changes=TWO)
    amc, charite, _ = await fed.come()
    await amc.consent(first)
    for site in (amc, charite):
        await site.consent(second)
    await fed.tasks(sites=("amc", "charite"))
    lapsed = [e.body for e in fed.entries("consent-lapsed")]
    assert lapsed == [{"agreement": first.digest, "site": name} for name in ("charite", "ucl")]
    fed.verified()
