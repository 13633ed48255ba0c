"""Control variates of a hospital: kept, committed or dropped as its copy of the log tells."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hospital import FEDERATION, SITE

from site_agent.agent import Outcome
from site_agent.deciding import Facts
from site_agent.readiness import Readiness, Seen
from site_agent.store import carried
from site_agent.store.carried import COMMITTED, DROPPED, PENDING, Control


def leave_control(charite, document, round_=1, attempt=1):
    control = Control(document.digest, round_, attempt, f"work/c{round_}{attempt}", PENDING)
    charite.store.now(lambda c: carried.keep_control(c, FEDERATION, control))
    return control


def controls(charite, state):
    return charite.store.look(lambda c: carried.controls(c, FEDERATION, state=state))


async def opened(post):
    document = post.charite.proposed()
    post.log.propose(document)
    post.charite.consent(document)
    post.log.take_all()
    post.log.in_force(document)
    post.log.open_round(document)
    return document


async def test_a_control_waits_while_its_round_is_open_and_falls_with_it(post):
    document = await opened(post)
    leave_control(post.charite, document)
    await post.see()
    assert len(controls(post.charite, PENDING)) == 1
    post.log.abandon(document)
    await post.see()
    assert controls(post.charite, PENDING) == []
    assert len(controls(post.charite, DROPPED)) == 1


async def test_a_control_is_kept_over_a_restart_until_the_ledger_tells(post):
    document = await opened(post)
    leave_control(post.charite, document)
    await post.see()
    post.log.abandon(document)
    post.restart()
    await post.see()
    assert len(controls(post.charite, DROPPED)) == 1


def test_a_closed_round_that_names_the_site_commits_its_control(charite):
    from site_agent import custody

    document = charite.document()
    control = leave_control(charite, document)
    closed = Outcome("closed", frozenset({SITE}))
    charite.store.now(lambda c: custody.settle(c, charite.m, control, closed))
    assert [one.path for one in controls(charite, COMMITTED)] == ["work/c11"]


async def test_a_task_waits_until_the_control_of_the_round_before_is_settled(post):
    document = await opened(post)
    leave_control(post.charite, document)
    task = post.charite.task(document, round_=1, attempt=2)
    waiting = asyncio.create_task(
        post.witness.facts_for(task, timedelta(), Readiness(post.charite.m))
    )
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    post.log.abandon(document)
    post.log.checkpoint()
    post.bell.ring()
    facts = await asyncio.wait_for(waiting, 20)
    assert facts == Facts(
        timedelta(),
        Seen(patients=60),
        frozenset({document.digest}),
        {(1, 1): Outcome("abandoned", reason="deadline", late=frozenset({SITE}))},
        proposed=post.log.proposal_of(document),
    )
