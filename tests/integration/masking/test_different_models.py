"""A coordinator that sends hospitals different models reads nobody's update (Pasquini 2022)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attacking import coded, refused, with_terms
from masked import NAMES

from governance import tensors
from governance.secagg import agreed
from governance.secagg.terms import Terms
from protos.words import Task
from protos.words_masks import Opened

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

VICTIM = "amc"
REST = [name for name in NAMES if name != VICTIM]
ONCE = {"schedule.rounds": 1, "round.attempts": 1}
WIDE = {"model": {"name": "mlp", "hidden": [16], "seed": 1}}
"""In so many coordinates a sum of masks is longer than any mean."""


def lures(fed, attacker):
    """Send all but the victim a model that was made so that their updates are nothing."""

    def lured(task):
        folder = fed.base.models
        whole = tensors.load(tensors.path_of(folder, task.model.digest))
        dead = tensors.write({name: np.zeros_like(x) for name, x in whole.items()}, folder)
        other = replace(task, model=dead)
        digest = agreed.task_digest(other)
        return with_terms(other, model=dead.digest, task=digest)

    attacker.changes(Task, lured, *REST)
    attacker.lenient.update(NAMES)


async def test_hospitals_that_were_sent_different_models_refuse_each_others_keys(fed, attacker):
    lures(fed, attacker)
    await fed.agreed(changes=ONCE | WIDE)
    await refused(fed, "R3", *NAMES)
    assert not attacker.vectors
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"))


async def test_masks_of_different_models_do_not_cancel_and_no_update_is_read(
    fed, attacker, without
):
    """The digest of the model is in every mask: that alone differs here, nobody checks it."""
    for rule in ("r1_parameters", "r3_keys", "r8_signed"):
        without(rule)
    attacker.changes(Task, lambda task: with_terms(task, model="d" * 64), *REST)
    attacker.lenient.update(NAMES)
    await fed.agreed(changes=ONCE | WIDE)
    await fed.until_ended((1, 1, "abandoned", "gate"))
    (ended,) = [e.body for e in fed.entries("round-abandoned")]
    assert (ended["rule"], ended["refused"]) == ("norm", {})
    assert not fed.entries("complaint")
    terms = Terms.from_bytes(fed.agents[VICTIM].task().task.masks)
    openers = [name for name in NAMES if attacker.said(name, Opened)]
    for name in NAMES:
        own_mask = attacker.secret(name, "own_masks", openers)
        bare = attacker.bare(terms, name, own_mask=own_mask, mask_key=None)
        assert np.mean(np.array(bare) == coded(fed, terms, name)) < 0.01
