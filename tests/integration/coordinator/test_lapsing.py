"""Time alone ends a consent and an agreement, at the second, and the record says so."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
import pytest_asyncio
from federations import Clock
from scripted_site import small_step

from governance.statements import timestamp
from protos.words import AgreementState, Cancel

DAY = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(12), tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
TWO = {"sites.ready_at_least": 2, "sites.close_at_least": 2}


@pytest_asyncio.fixture
async def timed(fed):
    """A coordinator at tomorrow's noon, by a clock that the test sets."""
    return await fed.by(Clock(DAY))


async def asked_until(fed, end, **changes):
    """Propose an agreement; one site consents until a time, the others for all of it."""
    document = await fed.propose(changes={**TWO, **changes})
    amc, *others = await fed.come()
    await amc.consent(document, until=timestamp(end))
    for site in others:
        await site.consent(document)
    return document


async def test_a_consent_whose_time_is_over_is_recorded_once(timed):
    document = await asked_until(timed, DAY + HOUR)
    await timed.at(DAY + HOUR - SECOND)
    assert timed.entries("consent-lapsed") == []
    await timed.at(DAY + HOUR)
    await timed.at(DAY + 2 * HOUR)
    said = [one.body for one in timed.entries("consent-lapsed")]
    assert said == [{"agreement": document.digest, "site": "amc"}]
    timed.verified()


async def test_a_consent_that_waits_for_others_lapses_too(timed):
    document = await timed.propose()
    (amc,) = await timed.come("amc")
    await amc.consent(document, until=timestamp(DAY + HOUR))
    await timed.until(lambda: timed.entries("consent-given"))
    await timed.at(DAY + HOUR)
    await timed.until(lambda: timed.entries("consent-lapsed"))


async def test_a_consent_that_was_withdrawn_does_not_lapse(timed):
    document = await asked_until(timed, DAY + HOUR)
    await timed.site("amc").withdraw(document)
    await timed.at(DAY + HOUR)
    assert timed.entries("consent-lapsed") == []


async def test_an_agreement_whose_time_is_over_expires_and_its_sites_are_told(timed):
    end = DAY.date()
    document = await timed.in_force(
        changes={"valid.until": f"{end:%Y-%m-%d}", "schedule.rounds": 9, "round.deadline": "1h"}
    )
    midnight = datetime.combine(end + timedelta(days=1), time(), tzinfo=UTC)
    task = await timed.site("amc").task()
    await timed.at(midnight)
    assert (await timed.site("amc").next(Cancel)).task == task.task
    for site in timed.sites.values():
        await site.next(AgreementState, agreement=document.digest, state="expired")
    assert [one.body["agreement"] for one in timed.entries("agreement-expired")] == [
        document.digest
    ]
    assert (await timed.status()).state == (
        f"the agreement has expired: its time ended on {end:%Y-%m-%d} 23:59 UTC"
    )
    timed.verified()


async def test_no_update_counts_that_comes_when_the_agreement_is_over(timed):
    end = DAY.date()
    await timed.in_force(changes={"valid.until": f"{end:%Y-%m-%d}", "round.deadline": "20h"})
    amc = timed.site("amc")
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await timed.at(datetime.combine(end + timedelta(days=1), time(), tzinfo=UTC))
    await timed.until(lambda: timed.rounds()[0][2] == "abandoned")
    assert timed.rounds() == [(1, 1, "abandoned", "consent")]
    assert timed.spooled() == []


@pytest.mark.slow
async def test_an_agreement_can_follow_one_that_expired(timed):
    end = DAY.date()
    await timed.in_force(changes={"valid.until": f"{end:%Y-%m-%d}", "round.deadline": "1h"})
    await timed.tasks()
    await timed.at(datetime.combine(end + timedelta(days=2), time(12), tzinfo=UTC))
    document = await timed.propose(changes={"schedule.rounds": 1, "title": "The next study"})
    for site in timed.sites.values():
        await site.consent(document)
        site.works()
    await timed.until(lambda: timed.rounds()[-1][2] == "closed")
    timed.verified()
