"""What left is what is listed: the list's bytes against those that a real socket received."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from coordinator_line import Coordinator, serving
from hospital import FEDERATION

from governance.terminal import Format
from protos import codec
from protos.concilium.v1 import audit_pb2, federation_pb2
from protos.errors import Refused, Unavailable
from protos.words import FromSite, Heartbeat, UploadRef
from site_agent import leaving, transfers
from site_agent.bell import Bell
from site_agent.egress import RULES, Egress
from site_agent.link import Address, Link, Papers
from site_agent.session import Presence, Session
from site_agent.store import egress
from site_agent.store.egress import running_digest

PATIENCE_S = 120
ALL = {
    method.name
    for service in (
        federation_pb2.DESCRIPTOR.services_by_name["Federation"],
        audit_pb2.DESCRIPTOR.services_by_name["Audit"],
    )
    for method in service.methods
}
"""Every method that a site may call."""


@pytest.fixture
def keys(today):
    return today.place / "coordinator" / "keys"


@asynccontextmanager
async def linked(hospital, port):
    identity = hospital.identity
    papers = Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)
    gate = Egress(hospital.store, FEDERATION, hospital.clock)
    link = Link(Address(f"localhost:{port}"), papers, gate)
    try:
        yield link
    finally:
        await link.close()


def listed(hospital):
    return hospital.store.look(lambda c: egress.listed(c, FEDERATION))


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


async def everything(hospital, servicer, port, path):
    """Have one session, and call every other method once."""
    data = path.read_bytes()
    beats = asyncio.Event()
    servicer.on_word = lambda word: beats.set() if isinstance(word.body, Heartbeat) else None
    async with linked(hospital, port) as link:
        session = Session(hospital.m, link, Presence(), bell=Bell())
        running = asyncio.create_task(session.run())
        await asyncio.wait_for(beats.wait(), PATIENCE_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        ref = UploadRef(3, 1, digest(data), len(data))
        await transfers.upload(
            link, ref, path, hospital.said("data-declared")[0].statement.envelope
        )
        [chunk async for chunk in link.download("a" * 64, 0)]
        [batch async for batch in link.entries(0, 5)]
        await link.checkpoint()
        await link.consistency(1, 2)
        await link.release("v1")


@pytest.fixture
def update(tmp_path):
    path = tmp_path / "update"
    path.write_bytes(bytes(range(256)) * 8192 + b"end")
    return path


@pytest.mark.parametrize("offset", [0, 1024 * 1024 + 7])
async def test_the_list_is_what_the_socket_received(today, keys, update, offset):
    today.consented()
    servicer = Coordinator(offset=offset)
    async with serving(keys, servicer) as port:
        await everything(today, servicer, port, update)
    rows = listed(today)
    received = [raw for _, raw in servicer.received]
    heartbeats = [raw for raw in received if is_heartbeat(raw, servicer.received)]
    chunks = [raw for name, raw in servicer.received if name == "Upload"][1:]
    messages = [raw for raw in received if raw not in [*heartbeats, *chunks]]
    # each message is there with its very bytes, in the order in which they came
    kept = [row for row in rows if row.content is not None]
    assert [row.content for row in kept] == messages
    assert [row.digest for row in kept] == [digest(raw) for raw in messages]
    assert [row.size for row in kept] == [len(raw) for raw in messages]
    # heartbeats stand in one row, counted, and a digest runs over all of them
    (beat,) = [row for row in rows if row.kind == "heartbeat"]
    assert (beat.messages, beat.size) == (len(heartbeats), sum(map(len, heartbeats)))
    over = digest(heartbeats[0])
    for raw in heartbeats[1:]:
        over = running_digest(over, digest(raw))
    assert beat.digest == over
    # the update's chunks are the file from where the coordinator had it
    sent = b"".join(codec.upload_part_in(part_of(raw)) for raw in chunks)
    (file,) = [row for row in rows if row.kind == "update"]
    assert sent == update.read_bytes()[offset:]
    assert (file.size, file.digest) == (len(sent), digest(update.read_bytes()))
    # and nothing else left, by whichever method
    assert {name for name, _ in servicer.received} == ALL
    assert len(rows) == len(messages) + 2


def is_heartbeat(raw, received):
    name = next(name for name, one in received if one is raw)
    return name == "Session" and isinstance(codec.from_site_parse(raw).body, Heartbeat)


def part_of(raw):
    return federation_pb2.UploadPart.FromString(raw)


async def test_what_cannot_be_listed_does_not_leave(today, keys, monkeypatch):
    servicer = Coordinator()

    async def full(change):
        raise Unavailable("the disk is full", rule="disk-full")

    async with serving(keys, servicer) as port, linked(today, port) as link:
        monkeypatch.setattr(today.store, "do", full)
        with pytest.raises(Unavailable, match="full"):
            await link.checkpoint()
        async with link.session() as stream:
            with pytest.raises(Unavailable, match="full"):
                await stream.send(FromSite(Heartbeat()))
    assert servicer.received == []


async def test_what_is_sent_again_is_listed_again(today, keys):
    today.consented()
    servicer = Coordinator()
    async with serving(keys, servicer) as port:
        for _ in range(2):
            heard = asyncio.Event()
            servicer.on_word = lambda word, heard=heard: word.seq >= 2 and heard.set()
            async with linked(today, port) as link:
                session = asyncio.create_task(
                    Session(today.m, link, Presence(), bell=Bell()).run()
                )
                await asyncio.wait_for(heard.wait(), PATIENCE_S)
                session.cancel()
                await asyncio.gather(session, return_exceptions=True)
    kinds = [row.kind for row in listed(today)]
    assert kinds.count("consent-given") == kinds.count("data-declared") == 2


async def test_a_list_survives_a_restart_and_is_bytes_per_days_source(today, keys):
    servicer = Coordinator()
    async with serving(keys, servicer) as port, linked(today, port) as link:
        await link.consistency(1, 2)
    begin = today.clock.time.replace(hour=0, minute=0)
    before = listed(today)
    today.restart()
    assert listed(today) == before
    size = today.store.look(lambda c: egress.bytes_sent(c, since=begin))
    assert size == len(servicer.received[0][1])


# --- what is said of it ----------------------------------------------------------------------


async def left(hospital, keys, update):
    servicer = Coordinator()
    async with serving(keys, servicer) as port:
        await everything(hospital, servicer, port, update)
    return {row.kind: row for row in listed(hospital)}


async def test_each_message_says_its_readers_and_its_rule(today, keys, update):
    today.consented()
    rows = await left(today, keys, update)
    readers = {kind: row.readers for kind, row in rows.items()}
    assert readers["hello"] == readers["heartbeat"] == readers["update"] == "coordinator"
    assert readers["data-declared"] == "members, auditors"
    assert readers["consent-given"] == (
        "members, auditors; officer, role: coordinator, members, auditors"
    )
    assert rows["consent-given"].rule == "officer"
    assert rows["data-declared"].rule == "consent"
    assert {row.rule for row in rows.values()} <= set(RULES)
    assert rows["update"].round == 3


async def test_a_message_is_shown_in_words(today, keys, update):
    today.consented()
    rows = await left(today, keys, update)
    said = leaving.dumped(today.m, rows["consent-given"].place)
    assert "declared_patients  60" in said
    assert "officer  A. Weber" in said
    assert RULES["officer"] in said
    for row in rows.values():
        words = leaving.dumped(today.m, row.place)
        assert row.digest in words
        assert len(words.splitlines()) > 6
    assert "since      0" in leaving.dumped(today.m, rows["entries-request"].place)


async def test_the_list_is_asked_by_time_and_round(today, keys, update):
    today.consented()
    await left(today, keys, update)
    all_, of_round = (
        leaving.listed(today.m, Format.JSON, since=None, round_=number) for number in (None, 3)
    )
    assert {row[2] for row in of_round.rows} == {"contribution-made", "update"}
    assert len(all_.rows) > len(of_round.rows)
    later = datetime(2999, 1, 1, tzinfo=UTC)
    assert not leaving.listed(today.m, Format.JSON, since=later, round_=None).rows
    assert all_.facts["bytes_in_all"] == sum(row[5] for row in all_.rows)


def test_a_number_that_is_not_in_the_list_is_said(charite):
    with pytest.raises(Refused, match="number 7"):
        leaving.dumped(charite.m, 7)


async def test_a_hello_that_nobody_can_take_is_not_listed(today, keys):
    async with serving(keys, Coordinator()) as port:
        pass
    async with linked(today, port) as link:
        with pytest.raises(Unavailable):
            async with link.session() as stream:
                await stream.send(FromSite(Heartbeat("", 0)))
    assert listed(today) == []
