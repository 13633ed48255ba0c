"""An agreement ends, and another takes its place and its model."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scripted_site import good_figures
from small_agreement import GATED

from governance.models import parameter_shapes
from protos.words import AgreementState


@pytest.mark.slow
async def test_agreement_that_follows_a_complete_one_has_rounds_of_its_own(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    second = await fed.propose(changes={"schedule.rounds": 2, "optimizer.rate": 0.1})
    for site in fed.sites.values():
        await site.consent(second)
    for site in fed.sites.values():
        await site.next(AgreementState, agreement=second.digest, state="complete")
    assert [r[:3] for r in fed.rounds()] == [(n, 1, "closed") for n in (1, 2, 3)]


async def test_agreement_is_superseded_between_rounds_and_goes_on_from_the_same_model(fed):
    await fed.in_force(changes={"schedule.rounds": 3})
    await fed.all_in()
    second = await fed.propose(changes={"schedule.rounds": 2, "optimizer.rate": 0.1})
    for site in fed.sites.values():
        await site.consent(second)
    assert (await fed.status()).proposed == second.digest
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, agreement=second.digest, state="complete")
    closed = [e.body for e in fed.entries("round-closed")]
    assert len({c["agreement"] for c in closed}) == 2
    assert closed[1]["model_in"] == closed[0]["model_out"]
    assert closed[1]["agreement"] == second.digest


async def test_agreement_with_another_model_begins_with_first_weights(fed):
    await fed.in_force(changes={**GATED, "schedule.rounds": 1})
    for site in fed.sites.values():
        site.works(figures=lambda site, task: good_figures(0.9))
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    await asyncio.gather(*(site.close() for site in fed.sites.values()))
    wider = {**GATED, "model": {"name": "mlp", "hidden": [4], "norm": "none", "seed": 1}}
    second = await fed.propose(changes={"schedule.rounds": 1, **wider})
    for site in await fed.come():
        await site.consent(second)
    task = await fed.site("amc").task(round=2)
    first = await fed.site("amc").model(task.model)
    assert {name: v.shape for name, v in first.items()} == parameter_shapes(second.agreement)
    await fed.site("amc").refuse(task)

    def step(site, task):
        return {f"y/{name}": np.full(v.shape, 0.01, np.float32) for name, v in first.items()}

    for site in fed.sites.values():
        site.works(step, figures=lambda site, task: good_figures(0.6))
    await fed.site("ucl").next(AgreementState, agreement=second.digest, state="complete")
    assert fed.rounds()[1] == (2, 1, "closed", "")


async def test_schedule_that_stops_early_completes_the_agreement(fed):
    stop = {"schedule.stop": {"metric": "accuracy", "reached": 0.8}}
    await fed.in_force(changes={**GATED, **stop, "schedule.rounds": 9})
    for site in fed.sites.values():
        site.works(figures=lambda site, task: good_figures(0.9))
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    assert fed.rounds() == [(1, 1, "closed", "")]
