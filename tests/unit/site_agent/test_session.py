"""The session: what was not acknowledged is sent again, what was taken is not taken twice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import pytest_asyncio
from hospital import FEDERATION

from governance import statements
from protos.errors import Unavailable
from protos.words import (
    AgreementState,
    Goodbye,
    Heartbeat,
    Hello,
    Proposal,
    Quiet,
    StatementReceipt,
    StatementSent,
    TaskAnswer,
    ToSite,
    Welcome,
)
from site_agent import voice
from site_agent.bell import Bell
from site_agent.session import Presence, Session
from site_agent.store import letters
from site_agent.voice import Saying

PATIENCE_S = 120


class Line:
    """The coordinator's end of one session."""

    def __init__(self, charite, *, ack=0, protocol=1):
        self.charite = charite
        self.to_site = asyncio.Queue()
        self.heard = asyncio.Queue()
        self.words = []
        self.welcome = Welcome(protocol, 0.05, 1 << 22, charite.clock.time)
        self.ack = ack

    async def send(self, word):
        self.words.append(word)
        if isinstance(word.body, Hello):
            await self.to_site.put(ToSite(self.welcome, ack=self.ack))
        await self.heard.put(word)

    async def send_chosen(self, choose):
        words = self.charite.store.look(choose)
        for word in words:
            await self.send(word)
        return words

    async def receive(self):
        word = await self.to_site.get()
        if isinstance(word, Exception):
            raise word
        return word

    async def ended(self):
        raise Unavailable("over", rule="session-ended")

    async def next(self, kind):
        while True:
            word = await asyncio.wait_for(self.heard.get(), PATIENCE_S)
            if isinstance(word.body, kind):
                return word


class Exchange:
    """Where the site dials; each dial gets the next line."""

    def __init__(self, charite):
        self.charite = charite
        self.lines = asyncio.Queue()
        self.dialled = 0
        self.bell = Bell()
        self.presence = Presence()

    @asynccontextmanager
    async def session(self):
        self.dialled += 1
        line = await self.lines.get()
        if isinstance(line, Exception):
            raise line
        yield line

    async def pick_up(self, **how):
        line = Line(self.charite, **how)
        await self.lines.put(line)
        return line


@pytest_asyncio.fixture
async def exchange(charite, monkeypatch):
    monkeypatch.setattr("site_agent.session.random.random", lambda: 0.001)
    made = Exchange(charite)
    made.site = Session(charite.m, made, made.presence, bell=made.bell)
    made.running = asyncio.create_task(made.site.run())
    yield made
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


def taken(charite):
    return charite.store.look(lambda c: letters.taken(c, FEDERATION))


async def test_a_hello_says_what_was_taken_and_cosigned(exchange, charite):
    charite.proposed()
    line = await exchange.pick_up()
    hello = await line.next(Hello)
    assert (hello.ack, hello.seq) == (1, 0)
    assert hello.body.models == ("builtin:linear",)
    assert hello.body.cosigned_size == 0


async def test_a_hospital_s_next_quiet_hours_are_told(charite):
    hours = {"days": ["sat"], "from": "13:00", "to": "15:00", "zone": "Europe/Berlin"}
    charite.rewrite(policy__quiet_hours=hours)
    made = Exchange(charite)
    made.site = Session(charite.m, made, made.presence, bell=made.bell)
    running = asyncio.create_task(made.site.run())
    line = await made.pick_up()
    saturday = datetime(2026, 11, 21, tzinfo=UTC)
    ahead = Quiet(saturday + timedelta(hours=12), saturday + timedelta(hours=14))
    assert (await line.next(Hello)).body.quiet == ahead
    assert (await line.next(Heartbeat)).body.quiet == ahead
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_was_not_acknowledged_is_sent_in_order(exchange, charite):
    charite.consented()
    line = await exchange.pick_up()
    assert [(await line.next(StatementSent)).seq for _ in range(2)] == [1, 2]


async def test_more_than_leaves_at_once_is_sent_in_order(exchange, charite):
    many = 40
    for place in range(many):
        answer = TaskAnswer(f"hearts/1/{place}/train", accepted=True)
        put = partial(letters.send, federation=FEDERATION, body=answer, rule="task-taken")
        charite.store.now(put)
    line = await exchange.pick_up()
    assert [(await line.next(TaskAnswer)).seq for _ in range(many)] == list(range(1, many + 1))


async def test_what_the_coordinator_has_is_not_sent_again(exchange, charite):
    charite.consented()
    line = await exchange.pick_up(ack=1)
    assert (await line.next(StatementSent)).seq == 2
    assert charite.store.look(lambda c: letters.unsent(c, FEDERATION, after=0))[0].seq == 2


async def test_a_numbered_message_is_acknowledged_when_the_store_has_it(exchange, charite):
    line = await exchange.pick_up()
    await line.next(Hello)
    await line.to_site.put(ToSite(Proposal(charite.document().raw), seq=1))
    while (await line.next(Heartbeat)).ack != 1:
        pass
    assert taken(charite) == 1


async def test_after_a_cut_the_rest_is_sent_and_nothing_is_taken_twice(exchange, charite):
    document = charite.document()
    line = await exchange.pick_up()
    await line.next(Hello)
    await line.to_site.put(ToSite(Proposal(document.raw), seq=1))
    while (await line.next(Heartbeat)).ack != 1:
        pass
    await line.to_site.put(Unavailable("cut", rule="unavailable"))
    line = await exchange.pick_up()
    hello = await line.next(Hello)
    assert hello.ack == 1
    await line.to_site.put(ToSite(Proposal(document.raw), seq=1))
    await line.to_site.put(ToSite(AgreementState(document.digest, "in-force"), seq=2))
    while (await line.next(Heartbeat)).ack != 2:
        pass
    assert taken(charite) == 2


async def test_what_is_written_meanwhile_goes_out_when_the_bell_rings(exchange, charite):
    line = await exchange.pick_up()
    await line.next(Heartbeat)
    charite.consented()
    exchange.bell.ring()
    assert (await line.next(StatementSent)).seq == 1


async def test_heartbeats_say_in_tenths_how_far_the_work_is(exchange):
    line = await exchange.pick_up()
    await line.next(Heartbeat)
    exchange.presence.task, exchange.presence.steps_done = "hearts/1/1/train", 39
    exchange.presence.planned = 100
    while (await line.next(Heartbeat)).body != Heartbeat("hearts/1/1/train", 30):
        pass


@pytest.mark.parametrize(
    "ending",
    [
        Unavailable("cut", rule="unavailable"),
        None,
        ToSite(Goodbye("draining", "back soon")),
        ToSite(AgreementState("f" * 64, "in-force"), seq=9),
    ],
)
async def test_whatever_ends_a_session_it_is_dialled_again(exchange, ending):
    line = await exchange.pick_up()
    await line.next(Hello)
    await line.to_site.put(ending)
    line = await exchange.pick_up()
    await line.next(Hello)
    assert exchange.dialled == 2


async def test_a_coordinator_that_is_away_is_dialled_until_it_is_back(exchange):
    for _ in range(5):
        await exchange.lines.put(Unavailable("nobody answers", rule="unavailable"))
    line = await exchange.pick_up()
    await line.next(Hello)
    assert exchange.dialled == 6


async def test_another_protocol_than_offered_is_not_spoken(exchange):
    line = await exchange.pick_up(protocol=2)
    await line.next(Hello)
    line = await exchange.pick_up()
    await line.next(Heartbeat)
    assert exchange.presence.connected


async def test_the_clocks_difference_is_known(exchange, charite):
    charite.clock.pass_(minutes=7)
    line = Line(charite)
    charite.clock.pass_(minutes=7)
    await exchange.lines.put(line)
    await line.next(Heartbeat)
    assert exchange.presence.skew.total_seconds() == pytest.approx(420, abs=1)


async def test_redialling_keeps_no_old_line(exchange):
    line = await exchange.pick_up()
    await line.next(Heartbeat)
    exchange.site.redial()
    line = await exchange.pick_up()
    await line.next(Hello)


async def test_a_stop_that_comes_just_as_the_session_ends_is_heeded(exchange):
    line = await exchange.pick_up()
    await line.next(Heartbeat)
    exchange.site.redial()
    exchange.running.cancel()
    await asyncio.wait({exchange.running}, timeout=5)
    assert exchange.running.cancelled()


async def test_what_was_dated_by_a_wrong_clock_is_said_again_once_the_clocks_agree(
    exchange, charite
):
    body = {"program": "concilium-site", "version": "0.1.0", "os": "Linux"}
    saying = Saying("software-started", body, "always")
    charite.store.now(lambda c: voice.say(c, charite.m.voice, saying))
    line = await exchange.pick_up()
    sent = await line.next(StatementSent)
    wrong = statements.read(sent.body.envelope)
    refused = StatementReceipt(wrong.digest, accepted=False, rule="dated-ahead")
    await line.to_site.put(ToSite(refused, ack=sent.seq, seq=1))
    charite.clock.time -= timedelta(hours=1)  # somebody sets it right
    line = await exchange.pick_up(ack=sent.seq)
    right = statements.read((await line.next(StatementSent)).body.envelope)
    assert (right.kind, right.body) == (wrong.kind, body)
    assert (right.counter, right.previous) == (wrong.counter, wrong.previous)
    assert right.at < wrong.at - timedelta(minutes=59)
