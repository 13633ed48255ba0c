"""A hospital leaves, or is taken out: what follows, at the door, in rounds and in training."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import folders as federations_folders
import grpc
import numpy as np
import pytest
import pytest_asyncio
from federations import SITES, Here, ledger_of, officer_of
from scripted_site import Ended, ScriptedSite, channel_to, refused
from small_agreement import PRIVATE, agreement_yaml
from sqlalchemy import select

from governance.agreement.load import load
from governance.identity import folder
from governance.identity.enrolment import read_token
from governance.identity.keys import SigningKey
from governance.ledger import remote
from governance.ledger.schema import exits
from protos.concilium.v1 import federation_pb2, federation_pb2_grpc
from protos.errors import Refused
from protos.words import Cancel, Proposal, TaskKind

DENIED = grpc.StatusCode.PERMISSION_DENIED
TWO = {"sites.ready_at_least": 2, "sites.close_at_least": 2}
BACK = {"exits.training": "retrain-from-before"}
JUST_ENOUGH = "0.009"
"""ε that bears the first round, and one more of the two that are needed again."""
PAID = {"sampling_rate": "0.01", "noise_multiplier": "5", "clip": "1", "expected_batch": "10"}
COURSE = [
    "quiesced",
    "credentials-revoked",
    "cleaned",
    "impact-listed",
    "training-settled",
    "releases-settled",
]


@pytest_asyncio.fixture
async def never(template, tmp_path):
    """A second federation, of the same hospitals."""
    place = tmp_path / "never"
    here = await Here(federations_folders.copied(template, place)).start()
    yield here
    await here.end()


async def in_force(fed, changes, **terms):
    """Bring an agreement into force that two sites are enough for, with all who consent."""
    await fed.operator_acts("pause")  # else the first two begin
    document = await fed.in_force(changes={**TWO, **changes}, **terms)
    await fed.operator_acts("resume")
    return document


async def first_round(fed, values=None):
    """Let all three be in the first round, which is committed."""
    await fed.all_in(values=values or by_the_model)
    for site in fed.sites.values():
        await site.evaluate(await site.task(TaskKind.EVALUATE))
    await until_committed(fed, 1)


async def leaves(site):
    """Ask to leave, signed by the officer; wait for the receipt."""
    body = {"site": site.name, "scope": "federation", "cause": "own-wish"}
    return await site.must_say("exit-requested", body, key=site.officer)


async def enrolled_anew(fed, name, place):
    """Enrol a name again with keys of its own, and return the site."""
    token, _ = await fed.invite("site", name)
    now, officer = datetime.now(UTC), SigningKey.generate()
    request = folder.prepare(place, read_token(token), officers=[officer], now=now)
    folder.finish(place, await remote.enrol(read_token(token), request), now=now)
    return ScriptedSite(folder.Identity.load(place), officer)


def document_with(fed, name, officer):
    """Write the agreement with a new officer's key of one site."""
    path = fed.folders.place / "again.yaml"
    sites = {site: officer_of(site).key_id for site in SITES} | {name: officer.key_id}
    keys = {"van-dijk": fed.folders.identity("van-dijk").signing_key().key_id}
    path.write_text(agreement_yaml(sites, keys, {**TWO, "title": "Again"}))
    return load(path)


async def removed(fed, name):
    body = {"site": name, "scope": "federation", "cause": "removed"}
    return await fed.act("exit-requested", body, told={"reason": "broke the terms"})


def steps(fed):
    return [(e.body["step"], e.body["decision"]) for e in fed.entries("exit-step")]


def step(fed, name):
    return next(e.body for e in fed.entries("exit-step") if e.body["step"] == name)


async def until_closed(fed, count=1):
    def closed():
        with ledger_of(fed.url) as c:
            states = c.execute(select(exits.c.state)).scalars().all()
        return states.count("closed") == count

    await fed.until(closed)


async def until_committed(fed, count):
    """Wait until so many rounds are committed."""
    await fed.until(lambda: [state for _, _, state, _ in fed.rounds()].count("closed") == count)


def by_the_model(site, task):
    """An update that follows from the site and from the model it starts from alone."""
    seed = hashlib.sha256(f"{site.name}/{task.model.digest}".encode()).digest()[:4]
    draws = np.random.default_rng(int.from_bytes(seed))
    return {
        "y/linear.weight": (0.01 * draws.standard_normal((1, 2))).astype(np.float32),
        "y/linear.bias": (0.01 * draws.standard_normal(1)).astype(np.float32),
    }


def with_control(site, task):
    """The same, with a change of the control variate beside it."""
    made = by_the_model(site, task)
    return made | {name.replace("y/", "c/", 1): value for name, value in made.items()}


def zeros(site, task):
    """No change at all: no noise bound is in its way."""
    return {name: 0 * value for name, value in by_the_model(site, task).items()}


def finals(fed):
    """Return the model of each committed round, in order."""
    return [e.body["model_out"] for e in fed.entries("round-closed")]


@pytest.mark.slow
async def test_who_leaves_while_training_is_out_at_once_and_the_round_goes_on(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    task = await amc.task()
    await amc.accept(task)
    await leaves(amc)
    assert await amc.next(Cancel, task=task.task) == Cancel(task.task, "consent")
    charite.works()
    ucl.works()
    await fed.until_ended((1, 1, "closed", ""))
    await until_closed(fed)
    assert [name for name, _ in steps(fed)] == COURSE
    assert step(fed, "quiesced")["decision"] == "dropped-out"
    assert step(fed, "impact-listed")["rounds"] == []
    fed.verified()


async def test_who_left_is_refused_on_new_streams_once_it_saw_its_end(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc = fed.site("amc")
    await leaves(amc)
    await until_closed(fed)
    assert amc.over is None
    amc.works()  # it cosigns what it is sent, the end of its exit too
    await amc.ended_by("left", "PERMISSION_DENIED")
    with pytest.raises(Ended):
        await amc.connect()


async def test_who_was_removed_is_refused_at_once_on_open_and_new_streams(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc = fed.site("amc")
    await removed(fed, "amc")
    await amc.ended_by("left", "PERMISSION_DENIED")
    await until_closed(fed)
    async with refused("revoked", DENIED), channel_to(amc.identity) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        await stub.UploadStatus(federation_pb2.UploadRef(), timeout=60)
    assert fed.entries("exit-requested")[0].actor == "operator/van-dijk"
    fed.verified()


@pytest.mark.slow
async def test_going_back_makes_the_model_of_a_federation_that_never_had_the_hospital(
    fed, never
):
    changes = {**BACK, "schedule.rounds": 2}
    await in_force(fed, changes)
    await first_round(fed)
    others = [fed.site(name) for name in ("charite", "ucl")]
    for site in others:
        await site.task()  # of a round that starts from what amc is in
    await leaves(fed.site("amc"))
    for site in others:
        await site.next(Cancel)
        site.works(by_the_model)
    await until_closed(fed)
    await until_committed(fed, 3)
    settled = step(fed, "training-settled")
    assert settled["decision"] == "retrain-from-before"
    assert settled["rounds"][0] == 1
    fed.verified()

    await in_force(never, changes, consenting=("charite", "ucl"))
    for site in never.sites.values():
        site.works(by_the_model)
    await until_committed(never, 2)
    assert finals(fed)[-2:] == finals(never)


@pytest.mark.slow
async def test_training_continues_from_the_model_where_the_agreement_says_so(fed):
    await in_force(fed, {"schedule.rounds": 3})
    await first_round(fed)
    await leaves(fed.site("amc"))
    await until_closed(fed)
    for name in ("charite", "ucl"):
        fed.site(name).works(by_the_model)
    await until_committed(fed, 3)
    assert step(fed, "training-settled")["decision"] == "continue"
    opened = [e.body["model"] for e in fed.entries("round-opened")]
    assert [opened[0], *finals(fed)[:-1]] == sorted(set(opened), key=opened.index)
    fed.verified()


@pytest.mark.slow
async def test_scaffolds_control_begins_anew_when_a_hospital_whose_own_is_in_it_leaves(fed):
    changes = {
        "strategy": {"name": "scaffold", "server_rate": 1.0},
        "schedule.rounds": 2,
        "aggregation.weighting": "equal",
    }
    await in_force(fed, changes)
    await first_round(fed, with_control)
    charite, ucl = fed.site("charite"), fed.site("ucl")
    tasks = await fed.tasks(sites=("charite", "ucl"))
    assert tasks["ucl"].state is not None
    await leaves(fed.site("amc"))
    for site in (charite, ucl):  # the round at work ends first: its c is what it began with
        await site.contribute(tasks[site.name], with_control(site, tasks[site.name]))
        site.works(with_control)
    await until_closed(fed)
    assert step(fed, "cleaned")["decision"] == "control-restarted"
    assert step(fed, "cleaned")["model"] == finals(fed)[-1]
    assert step(fed, "cleaned")["state"] == ""
    fed.verified()


async def test_where_budgets_do_not_bear_going_back_the_federation_pauses_and_asks(fed):
    changes = {**BACK, **PRIVATE, "schedule.rounds": 2}
    await fed.operator_acts("pause")
    document = await fed.propose(changes={**TWO, **changes})
    for site in await fed.come():
        await site.next(Proposal, document=document.raw)
        await site.consent(document, cap=JUST_ENOUGH)
    await fed.operator_acts("resume")
    for name, task in (await fed.tasks()).items():
        site = fed.site(name)
        await site.accept(task, reserve=False)
        await site.reserve(task, **PAID, epsilon_total="0.0058")
        await site.hand_in(task, zeros(site, task), epsilon="0.0058")
    for site in fed.sites.values():
        await site.evaluate(await site.task(TaskKind.EVALUATE))
    await until_committed(fed, 1)
    for name in ("charite", "ucl"):
        await fed.site(name).task()
    await leaves(fed.site("amc"))
    await until_closed(fed)
    status = await fed.status()
    assert status.state.startswith("paused: amc left, and training goes back to before round 1")
    assert "2 rounds must be trained again" in status.state
    assert "charite 1, ucl 1" in status.state


async def test_a_withdrawal_goes_back_too_and_the_site_stays_enrolled(fed):
    document = await in_force(fed, {**BACK, "schedule.rounds": 1})
    amc, charite, ucl = fed.sites.values()
    tasks = await fed.tasks()
    await amc.contribute(tasks["amc"], by_the_model(amc, tasks["amc"]))
    await amc.withdraw(document)
    await until_closed(fed)
    assert [name for name, _ in steps(fed)] == [s for s in COURSE if "revoked" not in s]
    assert step(fed, "training-settled")["decision"] == ""
    for site in (charite, ucl):
        await site.contribute(tasks[site.name], by_the_model(site, tasks[site.name]))
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    await amc.cut()
    await amc.connect()
    assert amc.over is None


async def test_two_who_leave_at_once_and_leave_too_few_end_the_round(fed):
    await in_force(fed, {})
    amc, charite, ucl = fed.sites.values()
    tasks = await fed.tasks()
    await ucl.contribute(tasks["ucl"], by_the_model(ucl, tasks["ucl"]))
    await leaves(amc)
    await leaves(charite)
    await until_closed(fed, 2)
    await fed.until_ended((1, 1, "abandoned", "consent"))
    status = await fed.status()
    assert "enough sites" in status.state
    fed.verified()


async def test_who_left_enrols_again_with_new_keys_and_consents_anew(fed, tmp_path):
    await fed.in_force(changes={**TWO, "schedule.rounds": 1})
    amc = fed.site("amc")
    with pytest.raises(Refused, match="enrolled already"):
        await fed.invite("site", "amc")
    await leaves(amc)
    await until_closed(fed)
    await amc.close()
    del fed.sites["amc"]
    again = await enrolled_anew(fed, "amc", tmp_path / "again")
    document = await fed.propose(document_with(fed, "amc", again.officer))
    await again.connect()
    await again.consent(document)
    fed.verified()
