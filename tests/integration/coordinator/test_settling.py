"""What becomes of a release when a hospital that is inside it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

from federations import ledger_of
from operators import BOTH, refusal
from released import release, trained
from sqlalchemy import select

from coordinator import handing, watching
from governance.ledger.schema import exits, releases

TWO = {"operators.two_for": ["recall"]}


async def settle(fed, decision, *, site="", ground="in use at two hospitals"):
    def asking(console):
        told = {"reason": ground}
        now = datetime.now(UTC)
        return handing.settle(console, "v1", decision, site=site, told=told, now=now)

    return await fed.ask(asking)


async def leaves(fed, name="amc"):
    """Let a hospital leave, and wait until its training is settled."""
    site = fed.site(name)
    body = {"site": name, "scope": "federation", "cause": "own-wish"}
    await site.must_say("exit-requested", body, key=site.officer)
    await fed.until(lambda: ("training-settled", name) in taken(fed))


async def told(fed):
    """Return what `status` says."""
    return await fed.ask(lambda c: watching.status(c.status(), c.releases().releases))


def taken(fed):
    return [(e.body["step"], e.body["site"]) for e in fed.entries("exit-step")]


def step(fed, name):
    return next(e.body for e in fed.entries("exit-step") if e.body["step"] == name)


def stands(fed):
    with ledger_of(fed.url) as c:
        return c.execute(select(releases.c.state)).scalar_one() == "published"


async def until_closed(fed):
    def closed():
        with ledger_of(fed.url) as c:
            return set(c.execute(select(exits.c.state)).scalars()) == {"closed"}

    await fed.until(closed)


async def test_an_exit_waits_until_an_operator_has_said_why_a_release_is_kept(fed):
    await trained(fed)
    await release(fed)
    await leaves(fed)
    assert step(fed, "impact-listed")["releases"] == ["v1"]
    assert not fed.entries("exit-closed")
    said = await told(fed)
    assert said.facts["to_settle"] == [{"release": "v1", "site": "amc"}]
    assert any("settle v1 keep|recall --site amc" in note for note in said.notes)
    await settle(fed, "keep")
    await until_closed(fed)
    assert step(fed, "releases-settled")["decision"] == "keep"
    (kept,) = fed.entries("release-settled")
    assert (kept.actor, set(kept.commitments)) == ("operator/van-dijk", {"reason"})
    assert stands(fed)
    assert (await told(fed)).facts["to_settle"] == []
    fed.verified()


async def test_an_operator_recalls_a_release_at_an_exit(fed):
    await trained(fed)
    await release(fed)
    await leaves(fed)
    await settle(fed, "recall")
    await until_closed(fed)
    assert step(fed, "releases-settled")["decision"] == "recall"
    assert not stands(fed)
    fed.verified()


async def test_what_the_agreement_recalls_is_recalled_with_nobody_asked(fed):
    await trained(fed, changes={"exits.releases": "recall"})
    await release(fed)
    await leaves(fed)
    await until_closed(fed)
    (recalled,) = fed.entries("release-settled")
    assert recalled.actor == "coordinator"
    assert step(fed, "releases-settled")["decision"] == "recall"
    assert not stands(fed)
    fed.verified()


async def test_nothing_is_settled_before_anybody_has_left(fed):
    await trained(fed)
    await release(fed)
    with refusal("not-to-settle"):
        await settle(fed, "recall")


async def test_with_two_who_left_it_is_said_at_whose_exit(fed):
    await trained(fed)
    await release(fed)
    await leaves(fed, "amc")
    await leaves(fed, "ucl")
    with refusal("which-exit"):
        await settle(fed, "keep")
    for name in ("amc", "ucl"):
        await settle(fed, "keep", site=name)
    await until_closed(fed)
    fed.verified()


async def test_a_recall_at_an_exit_needs_two_where_every_recall_does(fed):
    await trained(fed, operators=BOTH, changes=TWO)
    await release(fed)
    await leaves(fed)
    acted = await settle(fed, "recall")
    assert acted.pending
    assert stands(fed)
    await fed.ask(lambda console: console.approve(acted.result), by="rossi")
    await until_closed(fed)
    assert not stands(fed)
