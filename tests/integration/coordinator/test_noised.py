"""Figures with noise over the wire: paid for first, of the agreed noise, judged like others."""

from __future__ import annotations

import numpy as np
import pytest
from federations import SITES
from scripted_site import small_step
from small_agreement import PRIVATE

from governance import noised
from governance.privacy.mechanisms import Keystream
from protos.words import TaskAnswer, TaskKind

NOISED = {"noised": {"epsilon_total": 4.0, "every": 1}, "minimum": 10}
TERMS = {**PRIVATE, "privacy": {**PRIVATE["privacy"], "metrics": NOISED}, "schedule.rounds": 1}
TRAINING = {
    "sampling_rate": "0.01",
    "noise_multiplier": "5",
    "clip": "1",
    "expected_batch": "1",
    "epsilon_total": "0.2",
}


async def candidate(fed):
    """Let a round be trained under privacy; return the agreement and the tasks to evaluate."""
    document = await fed.in_force(changes=TERMS)
    for name, task in (await fed.tasks()).items():
        site = fed.site(name)
        await site.accept(task, reserve=False)
        await site.reserve(task, **TRAINING)
        await site.hand_in(task, small_step(site, task), epsilon="0.2")
    return document.agreement, await fed.tasks(TaskKind.EVALUATE)


async def reserve(site, task, agreement):
    await site.send(TaskAnswer(task.task, accepted=True))
    said = {
        "noise_multiplier": str(agreement.metrics_sigma),
        "clip": "1.3228756555322954",
        "loader": "all",
        "purpose": "metrics",
        "epsilon_total": "5",
    }
    return await site.reserve(task, **said)


async def say(site, task, text, mechanism="gaussian"):
    body = {**site.place(task), "model": task.model.digest, "mechanism": mechanism}
    told = (site.disclose("figures", text),)
    return await site.say("evaluation-made", body, told=told)


def figures(agreement, key, count=4000):
    labels = (np.arange(count) % 2).astype(float)
    scores = 0.3 + 0.4 * labels
    draw = Keystream(bytes([key]) * 32).gaussian
    return noised.to_json(noised.noised_of(scores, labels, agreement, draw))


@pytest.mark.slow
async def test_noised_figures_that_were_paid_for_judge_a_candidate(fed):
    agreement, tasks = await candidate(fed)
    for key, (name, task) in enumerate(tasks.items()):
        site = fed.site(name)
        await reserve(site, task, agreement)
        assert (await say(site, task, figures(agreement, key))).accepted
    await fed.until_ended((1, 1, "closed", ""))
    assert [one.body["mechanism"] for one in fed.entries("evaluation-made")] == [
        "gaussian" for _ in SITES
    ]


async def test_noised_figures_without_a_reservation_of_their_own_are_refused(fed):
    agreement, tasks = await candidate(fed)
    name, task = next(iter(tasks.items()))
    receipt = await say(fed.site(name), task, figures(agreement, 1))
    assert (receipt.accepted, receipt.rule) == (False, "no-reservation")
    await reserve(fed.site(name), task, agreement)
    assert (await say(fed.site(name), task, figures(agreement, 1))).accepted


async def test_figures_with_less_noise_than_agreed_or_none_are_refused(fed):
    from scripted_site import good_figures

    from governance.figures import to_json

    agreement, tasks = await candidate(fed)
    name, task = next(iter(tasks.items()))
    site = fed.site(name)
    await reserve(site, task, agreement)
    stated = f'"noise":"{noised.parse(figures(agreement, 1)).deviation}"'
    less = figures(agreement, 1).replace(stated, '"noise":"0.5"')
    for text, mechanism in (
        (less, "gaussian"),
        (to_json(good_figures()), "gaussian"),
        (to_json(good_figures()), "exact"),
    ):
        receipt = await say(site, task, text, mechanism)
        assert (receipt.accepted, receipt.rule) == (False, "bad-figures")
