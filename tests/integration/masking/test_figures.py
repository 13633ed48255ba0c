"""Figures of quality under masks: the sum is read, bit for bit, and no hospital's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hospital import FEDERATION
from masked import NAMES, NOISED

from coordinator.store.quality import said as said_of
from governance import noised
from governance.ledger import query_masks
from site_agent.store import egress, masks

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

EVERY = list(NAMES)
REST = [name for name in NAMES if name != "ucl"]
SOON = {"round.stragglers": {"close_early_after": "2s"}}


def added(fed, sites):
    own = [fed.agents[name].worker.figures[-1].values for name in sites]
    return tuple(map(sum, zip(*own, strict=True)))


async def test_the_sum_is_that_of_the_vectors_bit_for_bit(fed):
    await fed.agreed(changes=NOISED)
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, EVERY), EVERY)
    assert fed.steps(purpose="evaluate") == [
        ("keys", EVERY, []),
        ("shares", EVERY, []),
        ("masked", EVERY, []),
        ("signed", EVERY, []),
        ("opened", EVERY, []),
    ]
    stated = [e.body for e in fed.entries("evaluation-made")]
    assert all(body["mechanism"] == "gaussian" and body["masked"] for body in stated)
    assert all(float(body["epsilon"]) > 0 for body in stated)
    await fed.base.store.read(both_purposes_are_shown)
    model, terms = fed.closed()["model_out"], fed.agreement.agreement
    judged = await fed.base.store.read(lambda c: said_of(c, 1, 1, model))
    assert judged == {"+".join(EVERY): noised.figures_of(said, noised.layout_of(terms))}
    for agent in fed.agents.values():
        run = agent.run_of(kind="evaluate")
        assert (run.step, run.kept) == (masks.OPENED, None)
    left = fed.agents["amc"].look(lambda c: egress.listed(c, FEDERATION, round_=1))
    (vector,) = [one for one in left if one.kind == "masked-figures"]
    assert (vector.readers, vector.rule) == ("nobody: masked", "metrics-masked")


def both_purposes_are_shown(connection):
    answer = query_masks.masks_of(connection, 1)
    assert [(row[1], row[2]) for row in answer.rows] == [
        (purpose, step)
        for purpose in ("train", "evaluate")
        for step in ("invited", "keys", "shares", "masked", "signed", "opened")
    ]
    assert "Figures of 5 hospitals together were read" in " ".join(answer.notes)
    assert answer.facts["both_asked"] == []


async def test_no_hospital_s_figures_are_with_the_coordinator(fed):
    await fed.agreed(changes=NOISED)
    await fed.until_closed_round(1)
    said, _ = await fed.summed()
    held = b"".join(read(fed.folders.coordinator))
    assert written(said) in held
    for agent in fed.agents.values():
        values = agent.worker.figures[-1]
        assert written(values) not in held
        assert np.array(values.values, "<i4").tobytes() not in held
    assert all(not e.commitments for e in fed.entries("evaluation-made"))


def written(figures):
    return json.dumps(list(figures.values), separators=(",", ":")).encode()


def read(folder):
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # the spool is being emptied
                yield Path(place, name).read_bytes()


async def test_a_site_that_is_gone_after_its_shares_drops_out_and_the_sum_is_the_others(fed):
    fed.agents["ucl"].worker.judges = waits = asyncio.Event()
    await fed.agreed(changes=NOISED | SOON)
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, REST), REST)
    assert fed.steps(purpose="evaluate")[3] == ("signed", REST, ["ucl"])
    assert fed.closed()["sites_in"] == EVERY
    waits.set()


async def test_where_too_few_say_figures_the_evaluation_is_missing_and_the_round_goes_on(fed):
    for name in ("karolinska", "ucl"):
        fed.agents[name].worker.evaluate = fails
    await fed.agreed(changes=NOISED)
    assert await fed.missing() == "too-few-sites"
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == EVERY
    alarms = " ".join((await fed.status()).alarms)
    assert "round 1's figures came to nothing (too-few-sites)" in alarms
    assert not fed.entries("evaluation-summed")
    for agent in fed.agents.values():
        await fed.until_holds(lambda agent=agent: agent.run_of(kind="evaluate").kept is None)


async def fails(_job):
    from protos.errors import Refused

    raise Refused("the cohort is gone", rule="data-fault")


async def test_exact_figures_are_not_masked(fed):
    await fed.agreed(changes={"schedule.rounds": 1})
    await fed.until_closed_round(1)
    assert [e.body["mechanism"] for e in fed.entries("evaluation-made")] == ["exact"] * 5
    assert not fed.entries("evaluation-opened")
    assert not fed.steps(purpose="evaluate")
