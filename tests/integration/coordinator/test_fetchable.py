"""A site fetches the models of its own agreements, and no others."""

from __future__ import annotations

import pytest
from scripted_site import refused, small_step

from protos.words import FinalModel

OTHERS = ("charite", "ucl")


@pytest.fixture
async def model(fed):
    """The model of a round that amc has no part in, while it is at work."""
    await fed.in_force(
        consenting=OTHERS,
        roster=OTHERS,
        changes={"sites.ready_at_least": 2, "schedule.rounds": 1},
    )
    tasks = await fed.tasks(sites=OTHERS)
    await fed.come("amc")
    return tasks["ucl"].model


async def test_model_of_others_is_not_sent(fed, model):
    assert await fed.site("ucl").download(model)
    async with refused("unknown-model"):
        await fed.site("amc").download(model)


async def test_site_that_withdrew_is_sent_no_model_any_more(fed):
    document = await fed.in_force()
    tasks = await fed.tasks()
    amc = fed.site("amc")
    assert await amc.download(tasks["amc"].model)
    await amc.withdraw(document)
    async with refused("unknown-model"):
        await amc.download(tasks["amc"].model)


async def test_final_model_is_sent_to_who_consented_to_it(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    for name in ("amc", *OTHERS):
        fed.site(name).works(small_step)
    final = await fed.site("amc").next(FinalModel)
    assert await fed.site("amc").download(final.model)
