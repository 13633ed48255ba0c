"""Sessions: what is said is taken exactly once, whatever becomes of the line."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from scripted_site import small_step

from governance.identity import folder
from governance.identity.authority import Authority
from governance.identity.certificate import make_csr
from governance.identity.keys import load_private_key
from protos.words import (
    AgreementState,
    CertificateIssued,
    FromSite,
    Proposal,
    StatementReceipt,
    StatementSent,
    TaskAnswer,
    TaskKind,
)

SOFTWARE = {"program": "x", "version": "1", "os": "y"}


async def test_what_was_not_acknowledged_is_sent_again_in_order(fed):
    document = await fed.propose()
    fed.site("amc").acks = False
    (amc,) = await fed.come("amc")
    await amc.next(Proposal)
    await amc.next(AgreementState)
    await amc.cut()
    amc.taken = 0  # as a site whose store was never written
    await amc.connect()
    assert await amc.next(Proposal) == Proposal(document.raw)
    assert (await amc.next(AgreementState)).state == "proposed"


async def test_what_was_acknowledged_is_not_sent_again(fed):
    await fed.propose()
    (amc,) = await fed.come("amc")
    await amc.next(AgreementState)
    await amc.cut()
    await amc.connect()
    await amc.consent(fed.document())
    assert amc.replayed == 0
    assert len([m for m in amc.inbox if isinstance(m, Proposal)]) == 1


async def test_statement_sent_twice_is_taken_once(fed):
    (amc,) = await fed.come("amc")
    statement = amc.compose("software-started", SOFTWARE)
    await amc.send(StatementSent(statement.envelope))
    first = await amc.next(StatementReceipt)
    word = FromSite(StatementSent(statement.envelope), seq=1)
    await amc._write(amc._call, word)
    await amc.send(StatementSent(statement.envelope))  # under a new number: the same entry
    again = await amc.next(StatementReceipt)
    assert (first.seq, first.accepted) == (again.seq, again.accepted)
    await amc.acknowledged()
    assert not [m for m in amc.inbox if isinstance(m, StatementReceipt)]
    started = [e for e in fed.entries("software-started") if e.actor == "site/amc"]
    assert len(started) == 1


async def test_statement_on_a_line_that_breaks_is_taken_exactly_once(fed):
    amc = fed.site("amc")
    for turn in range(8):
        await amc.connect()
        statement = amc.compose("software-started", {**SOFTWARE, "version": str(turn)})
        amc.said(statement)
        await amc.send(StatementSent(statement.envelope))
        await amc.cut()
    await amc.connect()
    await amc.acknowledged()
    receipts = [await amc.next(StatementReceipt) for _ in range(8)]
    assert all(receipt.accepted for receipt in receipts)
    said = [e for e in fed.entries("software-started") if e.actor == "site/amc"]
    assert [e.body["version"] for e in said] == [str(turn) for turn in range(8)]


async def test_receipt_that_got_lost_comes_again(fed):
    (amc,) = await fed.come("amc")
    statement = amc.compose("software-started", SOFTWARE)
    amc.acks = False
    await amc.send(StatementSent(statement.envelope))
    receipt = await amc.next(StatementReceipt)
    await amc.cut()
    amc.taken -= 1  # as a site that was killed before it wrote the receipt down
    await amc.connect()
    assert await amc.next(StatementReceipt) == receipt


async def test_message_that_skips_a_number_ends_the_session(fed):
    (amc,) = await fed.come("amc")
    word = FromSite(TaskAnswer("a/b", accepted=True), seq=amc.sent + 2)
    await amc._write(amc._call, word)
    over = await amc.ended()
    assert over.rule == "INVALID_ARGUMENT"
    assert over.said.startswith("message-missing")
    await amc.connect()
    assert (await amc.say("software-started", SOFTWARE)).accepted


async def test_task_waits_for_a_site_that_was_away(fed):
    amc = fed.site("amc")
    amc.acks = False
    await fed.in_force()
    await amc.task()
    await amc.cut()
    amc.taken -= 1
    await fed.until(lambda: "amc" not in fed.base.sessions.connected)
    await amc.connect()
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    assert fed.running().training["amc"].state == "in"


async def test_site_that_was_away_for_rounds_catches_up_in_order(fed):
    two = {"sites.ready_at_least": 2, "sites.close_at_least": 2, "schedule.rounds": 3}
    document = await fed.in_force(consenting=("charite", "ucl"), changes=two)
    (amc,) = await fed.come("amc")
    await amc.consent(document)
    await amc.cut()
    for name in ("charite", "ucl"):
        fed.site(name).works()
    await fed.until_ended(*((n, 1, "closed", "") for n in (1, 2, 3)))
    await amc.connect()
    assert (await amc.next(AgreementState, state="complete")).agreement == document.digest
    await amc.acknowledged()
    heard = [m.state for m in amc.inbox if isinstance(m, AgreementState)]
    assert heard == ["proposed", "in-force"]


async def test_heartbeats_come_while_nothing_happens(fed):
    await fed.stop()
    await fed.start(heartbeat_s=0.05)
    (amc,) = await fed.come("amc")
    assert amc.welcome.heartbeat_s == 0.05
    await amc._until(lambda: amc.heard.count("Heartbeat") >= 3)


async def test_site_that_hangs_up_is_gone_and_may_come_back(fed):
    (amc,) = await fed.come("amc")
    await amc.hang_up()
    await fed.until(lambda: "amc" not in fed.base.sessions.connected)
    await amc.connect()
    assert "amc" in fed.base.sessions.connected


async def test_many_reconnects_at_once_leave_one_session(fed):
    (amc,) = await fed.come("amc")
    all_of_it = [amc, *(type(amc)(amc.identity, amc.officer) for _ in range(5))]
    await asyncio.gather(*(o.connect() for o in all_of_it[1:]), return_exceptions=True)
    ends = [fed.aside(each.ended()) for each in all_of_it]
    pending = set(ends)
    while len(pending) > 1:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert {end.result().rule for end in done} == {"session-replaced"}
    assert len(pending) == 1
    for each in all_of_it:
        await each.close()


async def test_goodbye_is_said_when_the_coordinator_stops(fed):
    (amc,) = await fed.come("amc")
    stopping = fed.aside(fed.stop())
    over = await amc.ended()
    assert over.rule in {"draining", "UNAVAILABLE", "CANCELLED"}
    await stopping


async def test_restart_goes_on_with_the_same_round(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc = fed.site("amc")
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await fed.restart()
    await fed.come()
    for name in ("charite", "ucl"):
        site = fed.site(name)
        task = await site.task()
        await site.contribute(task, small_step(site, task))
    for name, asked in (await fed.tasks(TaskKind.EVALUATE)).items():
        await fed.site(name).evaluate(asked)
    await fed.until_ended((1, 1, "closed", ""))
    assert len(fed.entries("contribution-made")) == 3


@pytest.fixture
def aged(fed):
    """A site whose certificate is 61 of its 90 days old."""
    authority = Authority.load(fed.folders.coordinator)
    now = datetime.now(UTC) - timedelta(days=61)
    place = fed.folders.sites / "amc"
    key = load_private_key(place / "tls.key", passphrase=None)
    issued = authority.issue(make_csr(key), name="amc", role="site", now=now)
    (place / "tls.pem").write_bytes(issued.pem_chain)
    return fed.site("amc")


async def test_certificate_that_is_due_is_renewed_over_the_session(fed, aged):
    await aged.connect()
    await aged.send(folder.begin_renewal(aged.identity, [aged.agent]))
    issued = await aged.next(CertificateIssued)
    new = folder.finish_renewal(aged.identity, issued.chain, now=datetime.now(UTC))
    assert new.peer.not_after > aged.identity.peer.not_after
    assert fed.entries("certificate-issued")[-1].body["serial"] == new.peer.serial
    aged.identity = new
    await aged.connect()
    assert (await aged.say("software-started", SOFTWARE)).accepted


async def test_certificate_that_is_not_due_or_not_proven_is_not_renewed(fed, aged):
    await aged.connect()
    (ucl,) = await fed.come("ucl")
    known = len(fed.entries("certificate-issued"))
    await ucl.send(folder.begin_renewal(ucl.identity, [ucl.agent]))
    await ucl.acknowledged()
    await aged.send(folder.begin_renewal(aged.identity, [ucl.agent]))
    await aged.acknowledged()
    assert len(fed.entries("certificate-issued")) == known
    assert aged.over is None
    assert ucl.over is None
