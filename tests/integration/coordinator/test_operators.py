"""What operators do to a running coordinator, and what they may not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from operators import BOTH, TWO_FOR, both_in_force, refusal

from coordinator.console import Console, open_console
from governance import statements
from governance.identity.keys import SigningKey
from governance.statements import Chain
from protos.errors import PeerFault, Refused
from protos.words import AgreementState, Digest, Proposal, TaskKind
from protos.words_operator import OperatorAct

LATER = "2099-01-01T00:00:00.000000Z"


async def test_act_of_a_form_that_nobody_knows_is_refused(fed):
    with refusal("unknown-act"):
        await fed.operator_acts("dance")
    whole = {"role": "site", "name": "gemelli", "secret": "0" * 64, "expires": LATER}
    for part, value in (("secret", ""), ("secret", "x"), ("expires", "soon"), ("expires", "")):
        with pytest.raises(PeerFault):
            await fed.operator_acts("invite", **{**whole, part: value})
    with refusal("bad-name"):
        await fed.operator_acts("invite", **{**whole, "name": "No Name"})
    with refusal("not-enrolled"):
        await fed.revoke("nobody")


# --- two operators -------------------------------------------------------------------------


async def test_act_that_needs_two_waits_until_a_second_operator_approves(fed):
    await both_in_force(fed)
    acted = await fed.revoke("amc")
    assert acted.pending
    assert not fed.entries("revoked")
    assert fed.site("amc").over is None
    (waiting,) = (await fed.status(by="rossi")).pending
    assert (waiting.act, waiting.by) == ("revoked", "operator/van-dijk")
    done = await fed.ask(lambda c: c.approve(waiting.digest[:12]), by="rossi")
    assert not done.pending
    assert len(fed.entries("revoked")[0].signatures) == 2
    await fed.site("amc").ended_by("PERMISSION_DENIED", "revoked")
    assert not (await fed.status()).pending


async def test_operator_cannot_approve_alone(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    (waiting,) = (await fed.status()).pending
    acted = await fed.ask(lambda c: c.approve(waiting.digest))
    assert acted.pending
    assert not fed.entries("revoked")


async def test_proposal_that_needs_two_takes_effect_with_the_second_signature(fed):
    await both_in_force(fed)
    document = fed.document(operators=BOTH, changes={**TWO_FOR, "optimizer.rate": 0.1})
    await fed.propose(document)
    assert (await fed.status()).proposed == ""
    (waiting,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert (await fed.status()).proposed == document.digest
    await fed.site("amc").next(Proposal, document=document.raw)


async def test_two_operators_are_needed_after_the_agreement_is_complete_too(fed):
    await both_in_force(fed, **{"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    acted = await fed.revoke("amc")
    assert acted.pending
    assert not fed.entries("revoked")


async def test_waiting_act_outlives_a_restart(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    await fed.restart()
    (waiting,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert fed.entries("revoked")


async def test_act_that_another_overtook_no_longer_waits(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    (waiting,) = (await fed.status()).pending
    await fed.operator_acts("pause")
    assert not (await fed.status()).pending
    with pytest.raises(Refused):
        await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert (await fed.revoke("amc")).pending
    (again,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(again.digest), by="rossi")
    assert fed.entries("revoked")


async def test_operator_whose_key_is_not_in_the_agreement_in_force_is_refused(fed):
    await fed.in_force(operators=("van-dijk",))
    assert (await fed.status(by="rossi")).federation == "hearts"
    for act in ("pause", "resume"):
        with refusal("operator-not-in-agreement"):
            await fed.operator_acts(act, by="rossi")
    with refusal("operator-not-in-agreement"):
        await fed.revoke("amc", by="rossi")
    with refusal("operator-not-in-agreement"):
        await fed.invite("site", "gemelli", by="rossi")


def forged(fed, *, actor, key, by="van-dijk", chain=None):
    """Send an act signed with another key, or in another's name, over one's own connection."""

    def send(console):
        status = console.status()
        payload = statements.compose(
            "operator-acted",
            {"act": "pause"},
            actor=actor,
            key=key.key_id,
            chain=chain or Chain(status.operator_counter, Digest(status.operator_previous)),
            log=fed.folders.identity(by).log,
            at=datetime.now(UTC),
        )
        return console._send(OperatorAct(statements.sign(payload, [key])))

    return fed.ask(send, by=by)


async def test_act_in_another_operators_name_is_refused(fed):
    mine = fed.folders.identity("van-dijk").signing_key()
    with refusal("not-yours"):
        await forged(fed, actor="operator/rossi", key=mine)
    theirs = fed.folders.identity("rossi").signing_key()
    with refusal("not-yours"):
        await forged(fed, actor="operator/rossi", key=theirs)


async def test_act_signed_by_a_key_that_is_not_enrolled_is_refused(fed):
    stranger = SigningKey.generate()
    with refusal("key-not-enrolled"):
        await forged(fed, actor="operator/van-dijk", key=stranger, chain=Chain.START)


async def test_forged_act_never_waits_for_approval(fed):
    await both_in_force(fed)
    with refusal("operator-not-in-agreement"):
        await forged(fed, actor="operator/van-dijk", key=SigningKey.generate())
    assert not (await fed.status()).pending


async def test_acts_of_one_operator_at_once_are_all_taken(fed):
    await asyncio.gather(*(fed.invite("site", f"site-{n}") for n in range(5)))
    invited = [e for e in fed.entries("operator-acted") if e.body.get("act") == "invite"]
    assert len({e.counter for e in invited}) == len(invited)


# --- pausing and status --------------------------------------------------------------------


async def test_pause_lets_the_round_end_and_opens_no_further_one(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    await fed.operator_acts("pause")
    await fed.all_in()
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        await fed.site(name).evaluate(task)
    await fed.until_ended((1, 1, "closed", ""))
    assert (await fed.status()).state.startswith("paused")
    assert len(fed.rounds()) == 1
    await fed.operator_acts("resume")
    await fed.tasks(round=2)


async def test_status_says_who_paused_and_for_which_reason(fed):
    told = {"reason": "the ethics board\nmeets"}
    await fed.act("operator-acted", {"act": "pause"}, told=told)
    said = "paused: van-dijk paused the federation: the ethics board meets"
    assert (await fed.status()).state == said


async def test_what_is_paused_is_not_paused_again_and_nothing_is_written(fed):
    await fed.operator_acts("pause")
    before = len(fed.entries())
    with refusal("paused-already"):
        await fed.operator_acts("pause")
    assert len(fed.entries()) == before


async def test_what_is_not_paused_is_not_resumed_and_nothing_is_written(fed):
    before = len(fed.entries())
    with refusal("not-paused"):
        await fed.operator_acts("resume")
    assert len(fed.entries()) == before


async def test_pause_outlives_a_restart(fed):
    await fed.operator_acts("pause")
    await fed.restart()
    assert (await fed.status()).state.startswith("paused")


async def test_status_says_who_is_waited_for_and_why(fed):
    document = await fed.propose()
    amc, charite = await fed.come("amc", "charite")
    await amc.consent(document)
    status = await fed.status()
    rows = {s.name: s for s in status.sites}
    assert status.state == "waits for the sites' consent"
    assert (rows["amc"].consent, rows["amc"].waiting_for) == ("in-force", "")
    assert "consent" in rows["charite"].waiting_for
    assert "connect" in rows["ucl"].waiting_for
    await charite.consent(document)
    (ucl,) = await fed.come("ucl")
    await ucl.consent(document)
    task = await amc.task()
    await amc.accept(task)
    await amc.beat(task.task, 3)
    await fed.until(lambda: fed.base.sessions.of("amc").steps_done == 3)
    status = await fed.status()
    rows = {s.name: s for s in status.sites}
    assert (status.round, status.attempt, status.round_state) == (1, 1, "training")
    assert status.state == "round 1, attempt 1: training"
    assert (rows["amc"].doing, rows["amc"].steps_done) == ("train: accepted", 3)
    assert status.agreement == document.digest
    assert status.document == document.raw
    assert status.ledger_size == len(fed.entries())


async def test_console_names_who_acts_or_says_that_it_cannot_tell(fed, tmp_path):
    def ask():
        with open_console(fed.folders.coordinator, None) as console:
            return console.status().federation

    assert await asyncio.to_thread(ask) == "hearts"
    with refusal("who-acts"):
        open_console(tmp_path, None)


async def test_console_says_in_one_sentence_that_nobody_answers(fed):
    identity = fed.folders.identity("van-dijk")
    await fed.stop()

    def ask():
        with Console(identity) as console:
            console.status()

    with pytest.raises(Exception, match="cannot be reached"):
        await asyncio.to_thread(ask)
