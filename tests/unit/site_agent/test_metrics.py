"""What an agent tells Prometheus: its line, its tasks, its privacy; nothing of a patient."""

from __future__ import annotations

import pytest_asyncio
from hospital import FEDERATION
from test_deciding import decided

from site_agent import metrics
from site_agent.member import Member


@pytest_asyncio.fixture
async def member(charite):
    made = Member(charite.m, charite.identity, charite.settings.federations[0])
    yield made
    await made.close()


async def figures(member):
    return {one.name: dict(one.values) for one in await metrics.figures([member])}


async def test_privacy_that_is_reserved_is_told_beside_the_cap(charite, member):
    assert (await figures(member))["concilium_epsilon"] == {("patients",): 0}
    decided(charite, charite.task(charite.consented()))
    (spent,) = charite.spent()
    told = await figures(member)
    assert told["concilium_epsilon"] == {("patients",): float(spent.epsilon_total)}
    assert told["concilium_epsilon_cap"] == {("patients",): 8.0}
    assert told["concilium_tasks"] == {(FEDERATION, "train", "reserving"): 1}


async def test_what_a_person_should_hear_of_is_a_figure(charite, member):
    document = charite.proposed()
    told = await figures(member)
    assert told["concilium_notice"] == {("consent-due", document.digest, FEDERATION): 1}
    assert told["concilium_connected"] == {(FEDERATION,): False}
