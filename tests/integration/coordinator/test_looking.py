"""What operators see of rounds while they run, and how they end one or a proposal."""

from __future__ import annotations

import asyncio

import pytest
from federations import SITES, ledger_of
from scripted_site import PATIENCE_S, small_step
from uploading import halfway

from coordinator import watching
from coordinator.store import record
from protos.errors import Refused
from protos.words import AgreementState, Cancel, CheckpointSent, Proposal, TaskKind
from protos.words_operator import RoundsRequest


def refusal(rule):
    return pytest.raises(Refused, check=lambda problem: problem.rule == rule)


async def rounds(fed, **wanted):
    return await fed.ask(lambda console: console.rounds(RoundsRequest(**wanted)))


def parts(attempt):
    return {part.site: (part.part, part.reason) for part in attempt.sites}


async def contribute(fed, tasks, *names):
    for name in names:
        site = fed.site(name)
        await site.contribute(tasks[name], small_step(site, tasks[name]))


async def stop_round(fed, round_=1, attempt=1, **more):
    return await fed.operator_acts("stop-round", round=round_, attempt=attempt, **more)


async def withdraw_proposal(fed, document):
    body = {"agreement": document.digest, "material": document.material}
    return await fed.act("agreement-proposal-withdrawn", body, told={"reason": "a mistake"})


async def test_a_round_at_work_says_who_is_in_who_is_out_and_who_is_waited_for(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    await contribute(fed, tasks, "amc")
    await fed.site("ucl").refuse(tasks["ucl"], "quiet-hours")
    await fed.until(lambda: {a.state for a in fed.running().training.values()} >= {"refused"})
    (attempt,) = (await rounds(fed)).attempts
    assert (attempt.round, attempt.attempt, attempt.state) == (1, 1, "collecting")
    assert attempt.deadline
    assert not attempt.ended_at
    assert attempt.ended_seq == 0
    assert parts(attempt) == {
        "amc": ("in", ""),
        "charite": ("waited for", ""),
        "ucl": ("out", "quiet-hours"),
    }
    waited = {part.site: part.now.waiting_for for part in attempt.sites if part.now}
    assert waited["charite"] == "its task to end"


async def test_a_round_at_work_says_what_its_line_has_borne(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    for name, task in tasks.items():
        await fed.site(name).download(task.model)
    await contribute(fed, tasks, "amc")
    (attempt,) = (await rounds(fed)).attempts
    assert attempt.down_bytes == len(SITES) * tasks["amc"].model.size
    assert attempt.update_bytes > 0
    answer = await fed.ask(lambda console: watching.one_round(console, 1))
    (facts,) = answer.facts["attempts"]
    assert (facts["bytes_down"], facts["bytes_up"]) == (
        attempt.down_bytes,
        attempt.update_bytes,
    )
    said = f"{attempt.down_bytes:,} bytes went down for it since the coordinator started"
    assert any(note.startswith(said) for note in answer.notes)


@pytest.mark.slow
async def test_rounds_that_ended_say_how_and_the_newest_is_first(fed):
    await fed.in_force()
    for site in fed.sites.values():
        site.works()
    await fed.until_ended((1, 1, "closed", ""), (2, 1, "closed", ""))
    second, first = (await rounds(fed)).attempts
    assert (first.round, first.state, second.round) == (1, "closed", 2)
    assert parts(first) == dict.fromkeys(SITES, ("in", ""))
    assert first.ended_seq > first.opened_seq
    assert first.model_out == second.model_in
    only = await rounds(fed, round=1)
    assert [a.round for a in only.attempts] == [1]
    page = await rounds(fed, most=1)
    assert page.more
    assert [a.round for a in page.attempts] == [2]
    older = await rounds(fed, most=1, before=second.opened_seq)
    assert not older.more
    assert [a.round for a in older.attempts] == [1]


async def test_a_round_that_there_is_not_is_said_so(fed):
    assert (await rounds(fed)).attempts == ()
    with refusal("no-round"):
        await rounds(fed, round=7)


async def test_stopping_a_round_abandons_it_cancels_its_tasks_and_pauses(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    await contribute(fed, tasks, "amc")
    acted = await stop_round(fed)
    await fed.until_ended((1, 1, "abandoned", "operator-stopped"))
    for name in ("charite", "ucl"):
        cancelled = await fed.site(name).next(Cancel)
        assert cancelled.task == tasks[name].task
    status = await fed.status()
    assert status.state == "paused: an operator stopped round 1, attempt 1"
    stopped, abandoned = fed.entries("operator-acted", "round-abandoned")[-2:]
    assert (stopped.body["act"], abandoned.kind) == ("stop-round", "round-abandoned")
    assert fed.entries()[acted.seq].digest == stopped.digest
    assert fed.spooled() == []
    fed.verified()


async def test_after_a_stopped_round_resume_tries_it_again(fed):
    await fed.in_force()
    await fed.tasks()
    await stop_round(fed)
    await fed.operator_acts("resume")
    await fed.tasks(round=1, attempt=2)


async def test_stopping_names_the_round_at_work_and_no_other(fed):
    with refusal("no-such-round"):
        await stop_round(fed)
    await fed.in_force()
    await fed.tasks()
    with refusal("no-such-round"):
        await stop_round(fed, 2)
    with refusal("no-such-round"):
        await stop_round(fed, 1, 2)
    assert fed.entries("round-abandoned") == []
    assert all(e.body["act"] == "invite" for e in fed.entries("operator-acted"))


async def test_a_proposal_that_is_withdrawn_ends_and_its_sites_are_told(fed):
    document = await fed.propose()
    for site in await fed.come():
        assert (await site.next(AgreementState)).state == "proposed"
    await fed.site("amc").consent(document)
    acted = await withdraw_proposal(fed, document)
    for name in SITES:
        told = await fed.site(name).next(AgreementState)
        assert told == AgreementState(document.digest, "withdrawn")
    status = await fed.status()
    assert (status.state, status.proposed) == ("no agreement is proposed", "")
    said = fed.entries("agreement-proposal-withdrawn")[0]
    assert (said.actor, said.digest) == ("operator/van-dijk", fed.entries()[acted.seq].digest)
    with pytest.raises(AssertionError, match="agreement-state"):
        await fed.site("charite").consent(document)
    fed.verified()


async def test_an_agreement_in_force_is_not_withdrawn_as_a_proposal(fed):
    document = await fed.in_force()
    await fed.tasks()
    with refusal("agreement-state"):
        await withdraw_proposal(fed, document)
    assert (await fed.status()).agreement == document.digest


async def test_withdrawing_a_proposal_leaves_the_agreement_in_force_at_work(fed):
    first = await fed.in_force()
    tasks = await fed.tasks()
    second = await fed.propose(changes={"optimizer.rate": 0.1})
    for name in SITES:
        await fed.site(name).next(Proposal, document=second.raw)
    status = await fed.status()
    assert {site.consent for site in status.sites} == {"in-force; to the proposal: not given"}
    await withdraw_proposal(fed, second)
    await contribute(fed, tasks, *SITES)
    await fed.until_round("evaluating")
    status = await fed.status()
    assert (status.agreement, status.proposed) == (first.digest, "")
    fed.verified()


async def test_an_objection_is_shown_with_its_reason_and_the_site_gets_no_task(fed):
    document = await fed.in_force()
    tasks = await fed.tasks()
    told = (fed.site("ucl").disclose("reason", "too\n long"),)
    body = {"agreement": document.digest}
    receipt = await fed.site("ucl").say("consent-objected", body, told=told)
    assert receipt.accepted
    await contribute(fed, tasks, "amc", "charite")
    await fed.until_round("evaluating")
    assert set(fed.running().evaluating) == {"amc", "charite"}
    ucl = next(site for site in (await fed.status()).sites if site.name == "ucl")
    assert ucl.consent == "objected"
    assert ucl.waiting_for == "its officer to resume: it objected: «too long»"
    fed.verified()


async def test_what_comes_in_is_shown_while_it_does(fed):
    await fed.in_force()
    site = fed.site("amc")
    half = await halfway(fed, site)
    shown = (0, 0)
    async with asyncio.timeout(PATIENCE_S):
        while shown != (len(half.update[0]) // 2, len(half.update[0])):
            amc = next(one for one in (await fed.status()).sites if one.name == "amc")
            shown = (amc.bytes_in, amc.bytes_all)
    half.more.set()
    await fed.until(lambda: fed.running().training["amc"].state == "in")
    amc = next(one for one in (await fed.status()).sites if one.name == "amc")
    assert (amc.bytes_in, amc.bytes_all) == (0, 0)


async def test_a_site_whose_copy_of_the_log_differs_is_an_alarm(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    await fed.site("ucl").refuse(tasks["ucl"], "integrity-alarm")
    (alarm,) = (one for one in (await fed.status()).alarms if "ucl" in one)
    assert alarm.startswith("ucl's copy of the log and this one differ")


@pytest.mark.slow
async def test_a_round_that_most_hospitals_have_not_cosigned_is_an_alarm_two_rounds_later(fed):
    await fed.in_force(changes={"schedule.rounds": 4})
    for round_ in (1, 2, 3):
        assert not unwitnessed(await fed.status())
        await contribute(fed, await fed.tasks(round=round_), *SITES)
        for name, task in (await fed.tasks(TaskKind.EVALUATE, round=round_)).items():
            await fed.site(name).evaluate(task)
        await fed.until(lambda closed=round_: len(fed.entries("round-closed")) == closed)
    (alarm,) = unwitnessed(await fed.status())
    assert "0 of its 3 hospitals" in alarm
    for name in ("amc", "charite"):
        sent = [one for one in fed.site(name).inbox if isinstance(one, CheckpointSent)]
        await fed.site(name).cosign(sent[-1])
        await fed.until(lambda site=name: cosigned(fed, site))
    assert not unwitnessed(await fed.status())


def unwitnessed(status):
    return [alarm for alarm in status.alarms if alarm.startswith("round 1 is not final")]


def cosigned(fed, site):
    with ledger_of(fed.url) as c:
        return record.cosigned_size(c, site) > 0
