"""R7 to R11: what a malicious coordinator asks once vectors are masked, and who refuses it.

Each attack is played twice: against the rule, and with the rule taken away, when it succeeds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attacking import coded, refused
from masked import NAMES

from governance import tensors
from governance.secagg.messages import consistency_bytes, is_signed
from governance.secagg.terms import Terms
from protos.words_masks import Opened, Signed, Survivors, Unmask
from site_agent.answers import _stored
from site_agent.store import masks

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

VICTIM, LAST = "amc", "ucl"
REST = [name for name in NAMES if name != VICTIM]
ONCE = {"schedule.rounds": 1, "round.attempts": 1}


def told(fed, name=VICTIM):
    return Terms.from_bytes(fed.agents[name].task().task.masks)


# --- R7 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [NAMES[:3], REST], ids=["too few", "left out"])
async def test_r7_a_sum_of_too_few_or_without_the_site_is_not_signed(fed, attacker, named):
    attacker.changes(Survivors, lambda _: Survivors(tuple(named)), VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R7", VICTIM)
    await fed.until_closed_round(1)
    assert not attacker.said(VICTIM, Signed)
    assert not attacker.said(VICTIM, Opened)


async def test_without_r7_a_site_signs_a_sum_of_three(fed, attacker, without):
    without("r7_sum")
    attacker.changes(Survivors, lambda _: Survivors(NAMES[:3]), VICTIM)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: attacker.said(VICTIM, Signed))
    (said,) = attacker.said(VICTIM, Signed)
    terms = told(fed)
    shown = consistency_bytes(terms, VICTIM, NAMES[:3])
    assert is_signed(shown, said.signature, terms.roster[VICTIM])


# --- R8 ------------------------------------------------------------------------------------


def shows_two_views(attacker):
    """Show the victim another sum than the others, one in which the last dropped out."""
    without_last = tuple(name for name in NAMES if name != LAST)
    attacker.lenient.add(VICTIM)
    attacker.changes(Survivors, lambda _: Survivors(without_last), VICTIM)
    attacker.changes(
        Unmask, lambda a: replace(a, survivors=without_last, dropped=(LAST,)), VICTIM
    )


async def test_r8_a_set_that_the_others_did_not_sign_is_not_opened(fed, attacker):
    shows_two_views(attacker)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R8", VICTIM)
    assert not attacker.said(VICTIM, Opened)
    await fed.until_closed_round(1)


async def test_without_r8_two_views_bring_both_kinds_of_share_of_one_site(
    fed, attacker, without
):
    without("r8_signed")
    shows_two_views(attacker)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: all(attacker.said(name, Opened) for name in NAMES))
    assert LAST in attacker.said(VICTIM, Opened)[0].keys
    assert all(LAST in attacker.said(name, Opened)[0].own_masks for name in REST)


# --- R9 ------------------------------------------------------------------------------------


def asks_twice(attacker):
    def again(connection, name, body):
        if name == VICTIM and isinstance(getattr(body, "asked", None), Unmask):
            attacker.send(connection, name, body)
        return body

    attacker.follows(again)


async def test_r9_a_second_request_for_shares_is_refused(fed, attacker):
    asks_twice(attacker)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R9", VICTIM)
    assert len(attacker.said(VICTIM, Opened)) == 1
    await fed.until_closed_round(1)


async def test_r9_is_remembered_over_a_restart(fed, attacker):
    kept = {}

    def keep(_, name, body):
        if name == VICTIM and isinstance(getattr(body, "asked", None), Unmask):
            kept[name] = body
        return body

    attacker.follows(keep)
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    await fed.agents[VICTIM].restart()
    await fed.base.store.write(lambda c: attacker.send(c, VICTIM, kept[VICTIM]))
    await refused(fed, "R9", VICTIM)
    assert len(attacker.said(VICTIM, Opened)) == 1


async def test_without_r9_a_site_that_does_not_remember_answers_twice(
    fed, attacker, without, monkeypatch
):
    without("r9_once")
    forget = masks.forget

    def forgetful(c, federation, task, *, step=masks.OVER):
        if step == masks.OPENED:
            return
        forget(c, federation, task, step=step)

    monkeypatch.setattr(masks, "forget", forgetful)
    asks_twice(attacker)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: len(attacker.said(VICTIM, Opened)) == 2)


# --- R10 -----------------------------------------------------------------------------------


def asks_for_both(attacker, *victims):
    attacker.changes(Unmask, lambda asked: replace(asked, dropped=(VICTIM,)), *victims)


async def test_r10_both_kinds_of_share_of_one_site_are_not_opened(fed, attacker):
    asks_for_both(attacker, *NAMES)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R10", *NAMES)
    assert not any(attacker.said(name, Opened) for name in NAMES)
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"))
    agent = fed.agents[LAST]
    said, _ = agent.look(lambda c: _stored(c, agent.hospital.m))
    assert any("breaks R10" in sentence for sentence in said)


async def test_without_r10_both_kinds_of_share_lay_a_vector_bare(fed, attacker, without):
    without("r10_asked")
    asks_for_both(attacker)
    attacker.lenient.update(NAMES)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: all(attacker.said(name, Opened) for name in REST))
    terms = told(fed)
    bare = attacker.bare(
        terms,
        VICTIM,
        own_mask=attacker.secret(VICTIM, "own_masks", REST),
        mask_key=attacker.secret(VICTIM, "keys", REST),
    )
    assert bare == coded(fed, terms, VICTIM)


# --- R11 -----------------------------------------------------------------------------------


def makes_too_much(worker):
    """Let a worker make an update as a model that was made for it could."""
    train = worker.train

    async def far(job, progress):
        made = await train(job, progress)
        update = {name: value + 1e3 for name, value in worker.made[made.digest].items()}
        blob = tensors.write(update, job.out)
        worker.made[blob.digest] = update
        return replace(
            made,
            update=tensors.path_of(job.out, blob.digest),
            digest=blob.digest,
            size=blob.size,
        )

    worker.train = far


async def test_r11_a_vector_that_saturates_does_not_leave(fed, attacker):
    makes_too_much(fed.agents[VICTIM].worker)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R11", VICTIM)
    assert VICTIM not in attacker.vectors
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == REST


async def test_without_r11_values_that_were_cut_off_leave(fed, attacker, without):
    without("r11_within")
    makes_too_much(fed.agents[VICTIM].worker)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: VICTIM in attacker.vectors)
    terms = told(fed)
    (part,) = terms.parts
    scale = part.scale(len(NAMES), max(terms.weights.values()))
    cut = np.array(coded(fed, terms, VICTIM), dtype=np.uint32).view(np.int32)
    assert np.abs(cut / (terms.weights[VICTIM] * 2.0**scale.fraction_bits)).max() <= part.bound
