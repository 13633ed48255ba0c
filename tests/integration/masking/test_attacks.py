"""R1 to R6: what a malicious coordinator changes before a vector leaves, and who refuses it.

Each attack is played twice: against the rule, and with the rule taken away, when it succeeds.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from attacking import Impostor, coded, coordinators_key, refused, with_terms
from masked import NAMES
from summed import is_the_mean_of

from coordinator import masking
from governance.secagg import rules
from governance.secagg.keys import Shares
from governance.secagg.shamir import Share
from governance.secagg.terms import Terms
from protos.errors import PeerFault
from protos.words import Task
from protos.words_masks import Delivered, Keys, Opened, Peers, Survivors, Unmask
from site_agent import policy

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

VICTIM = "amc"
REST = [name for name in NAMES if name != VICTIM]
ONCE = {"schedule.rounds": 1, "round.attempts": 1}


async def goes_on_without_the_victim(fed):
    await fed.until_closed_round(1)
    assert fed.closed()["sites_in"] == REST
    is_the_mean_of(fed, REST)


def terms_told(fed, victim=VICTIM):
    return Terms.from_bytes(fed.agents[victim].task().task.masks)


# --- R1 ------------------------------------------------------------------------------------


async def test_r1_each_hospital_holds_the_terms_against_its_own_copies(fed, attacker):
    def other_scale(task):
        (part,) = Terms.from_bytes(task.masks).parts
        return with_terms(task, parts=(replace(part, fraction_bits=2),))

    def other_weights(task):
        return with_terms(task, weights=Terms.from_bytes(task.masks).weights | {VICTIM: 999})

    attacker.changes(Task, lambda task: with_terms(task, threshold=1), "amc")
    attacker.changes(Task, lambda task: with_terms(task, model="d" * 64), "charite")
    attacker.changes(Task, other_scale, "gemelli")
    attacker.changes(Task, other_weights, "karolinska")
    attacker.changes(Task, lambda task: with_terms(task, checkpoint=(5, "d" * 64)), "ucl")
    await fed.agreed(changes=ONCE)
    await refused(fed, "R1", *NAMES)
    await fed.until_ended((1, 1, "abandoned", "too-few-sites"))


async def test_r1_a_task_that_asks_for_a_plain_update_is_refused(fed, attacker):
    attacker.changes(Task, lambda task: replace(task, masks=b""), VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R1", VICTIM)
    assert not fed.agents[VICTIM].worker.jobs
    assert not fed.agents[VICTIM].spent()
    await goes_on_without_the_victim(fed)


async def test_without_r1_a_threshold_of_one_and_two_views_lay_a_vector_bare(
    fed, attacker, without, monkeypatch
):
    without("r1_parameters")
    monkeypatch.setattr(masking, "threshold_of", lambda _: 1)
    attacker.lenient.add("ucl")
    attacker.changes(Survivors, lambda _: Survivors(tuple(REST)), "ucl")
    attacker.changes(
        Unmask,
        lambda asked: replace(asked, survivors=tuple(REST), dropped=(VICTIM,)),
        "ucl",
    )
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: attacker.said("ucl", Opened) and attacker.said("amc", Opened))
    own_mask = attacker.secret(VICTIM, "own_masks", ["amc"])
    mask_key = attacker.secret(VICTIM, "keys", ["ucl"])
    terms = terms_told(fed)
    bare = attacker.bare(terms, VICTIM, own_mask=own_mask, mask_key=mask_key)
    assert bare == coded(fed, terms, VICTIM)


# --- R2 ------------------------------------------------------------------------------------


def asks_again(attacker):
    """Ask the victim into the same attempt again, by another task's name."""
    told = {}

    def again(connection, name, body):
        if name == VICTIM and isinstance(body, Task):
            told[name] = body
        if name == VICTIM and isinstance(getattr(body, "asked", None), Peers):
            attacker.send(connection, name, replace(told[name], task="again"))
        return body

    attacker.follows(again)


async def test_r2_a_second_run_of_an_attempt_is_refused_and_the_first_goes_on(fed, attacker):
    asks_again(attacker)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(fed.agents[VICTIM].complaints)
    assert fed.agents[VICTIM].complaints() == ["secagg-r2"]
    assert "breaks R2" in fed.agents[VICTIM].fault()
    await fed.until_closed_round(1)
    is_the_mean_of(fed, list(NAMES))
    assert [e.body["broken"] for e in fed.entries("complaint")] == ["secagg-r2"]
    assert len(attacker.said(VICTIM, Keys)) == 1


async def test_without_r2_a_site_takes_part_in_an_attempt_twice(
    fed, attacker, without, monkeypatch
):
    without("r2_newer")
    without("r1_parameters")  # the terms name the first task; an attacker writes its own
    rest = tuple(check for check in policy._MOMENT if check is not policy._newer)
    monkeypatch.setattr(policy, "_MOMENT", rest)
    asks_again(attacker)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: len(attacker.said(VICTIM, Keys)) == 2)
    first, second = attacker.said(VICTIM, Keys)
    assert first.mask != second.mask


# --- R3 and R4 -----------------------------------------------------------------------------


async def test_r3_a_coordinator_in_the_middle_is_refused(fed, attacker):
    def forged(peers):
        return Peers(
            tuple(
                replace(said, mask=bytes(31) + b"\x09") if said.site == "charite" else said
                for said in peers.keys
            )
        )

    attacker.changes(Peers, forged, VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R3", VICTIM)
    await goes_on_without_the_victim(fed)


async def plays_all_others(fed, attacker, change=lambda task: task):
    """Let the coordinator be all other hospitals to the victim; return its vector bare."""
    attacker.changes(Task, change, VICTIM)
    impostor = Impostor(attacker, VICTIM)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: VICTIM in attacker.vectors)
    return impostor.bare(), coded(fed, impostor.terms, VICTIM)


async def test_without_r3_keys_of_its_own_lay_a_vector_bare(fed, attacker, without):
    without("r3_keys")
    bare, plain = await plays_all_others(fed, attacker)
    assert bare == plain


def invented(task):
    terms = Terms.from_bytes(task.masks)
    key = coordinators_key().key_id
    roster = {name: terms.roster[name] if name == VICTIM else key for name in terms.roster}
    return with_terms(task, roster=roster)


async def test_r4_agents_that_no_officer_vouched_for_are_refused(fed, attacker):
    attacker.changes(Task, invented, VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R4", VICTIM)
    await goes_on_without_the_victim(fed)


async def test_without_r4_invented_agents_lay_a_vector_bare(fed, attacker, without):
    without("r4_roster")
    bare, plain = await plays_all_others(fed, attacker, invented)
    assert bare == plain


# --- R5 and R6 -----------------------------------------------------------------------------


def spoilt(delivered):
    shares = dict(delivered.shares)
    shares["charite"] = bytes([shares["charite"][0] ^ 1]) + shares["charite"][1:]
    return Delivered(shares, delivered.digests)


async def test_r5_shares_that_do_not_open_are_refused(fed, attacker):
    attacker.changes(Delivered, spoilt, VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R5", VICTIM)
    await goes_on_without_the_victim(fed)


async def test_without_r5_an_honest_site_is_called_a_liar_in_the_ledger(fed, attacker, without):
    opened = rules.r5_opened

    def careless(sealed, *args, **how):
        try:
            return opened(sealed, *args, **how)
        except PeerFault:
            return Shares(Share(1), Share(1))

    without("r5_opened", careless)
    attacker.changes(Delivered, spoilt, VICTIM)
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    (last,) = [e.body for e in fed.entries("masking-step") if e.body["step"] == "unmasked"]
    assert last["refused"] == {VICTIM: "secagg-r12"}


async def test_r6_shares_of_too_few_are_refused(fed, attacker):
    attacker.changes(Delivered, lambda _: Delivered({}, {}), VICTIM)
    await fed.agreed(changes=ONCE)
    await refused(fed, "R6", VICTIM)
    await goes_on_without_the_victim(fed)


async def test_without_r6_a_vector_masked_for_nobody_else_is_laid_bare(fed, attacker, without):
    without("r6_enough")
    attacker.changes(Delivered, lambda _: Delivered({}, {}), VICTIM)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: all(attacker.said(name, Opened) for name in REST))
    own_mask = attacker.secret(VICTIM, "own_masks", REST)
    terms = terms_told(fed)
    bare = attacker.bare(terms, VICTIM, own_mask=own_mask, mask_key=None)
    assert bare == coded(fed, terms, VICTIM)
