"""Whoever reaches the port, with a certificate or without, costs the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import threading
from pathlib import Path

import grpc
import pytest
import raw_lines
from raw_lines import Raw, frame, message
from scripted_site import channel_to, refused

from protos import codec
from protos.words import FromSite

pytestmark = pytest.mark.slow
SESSION = "/concilium.v1.Federation/Session"
FLAT_MB = 150
"""What the coordinator's memory may grow by: buffers of 16 calls, each of a message or two."""


def resident_mb(process):
    """Return how much memory a process holds, in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Besieged:
    """A coordinator whose amc attacks it while ucl works."""

    def __init__(self, apart):
        self.apart = apart
        self.attacker = apart.folders.identity("amc")
        self.port = int(self.attacker.coordinator.rsplit(":", 1)[1])
        self.before_mb = resident_mb(apart.process)

    async def works_on(self):
        """Hold that another site is heard, that nothing crashed and that memory is flat."""
        body = {"program": "x", "version": "1", "os": "y"}
        assert (await self.apart.site("ucl").say("software-started", body)).accepted
        assert self.apart.process.returncode is None
        assert resident_mb(self.apart.process) < self.before_mb + FLAT_MB
        said = "".join(self.apart.said)
        assert "Traceback" not in said, said
        assert len(said) < 100_000


@pytest.fixture
def besieged(apart):
    async def begin():
        await apart.start()
        await apart.come("ucl")
        return Besieged(apart)

    return begin


@pytest.mark.parametrize("first", [b"", raw_lines.GARBAGE], ids=["silent", "garbage"])
async def test_a_thousand_lines_that_are_dropped_at_once_do_not_end_the_coordinator(
    besieged, first
):
    siege = await besieged()
    lines = await asyncio.to_thread(raw_lines.open_lines, siege.port, 1500, first)
    for line in lines:
        line.close()
    await siege.apart.ready()
    await siege.works_on()


async def test_line_that_never_finishes_its_handshake_is_closed(besieged):
    siege = await besieged()
    (line,) = await asyncio.to_thread(raw_lines.open_lines, siege.port, 1)
    line.settimeout(60)
    assert await asyncio.to_thread(line.recv, 1) == b""
    line.close()
    await siege.works_on()


async def test_one_address_takes_not_all_places_and_others_still_get_in(apart):
    await apart.start(files=400)  # of which 300 are for lines
    port = int(apart.folders.identity("amc").coordinator.rsplit(":", 1)[1])
    over = threading.Event()

    def crowd():
        lines = []
        while not over.is_set():
            with contextlib.suppress(OSError):
                lines += raw_lines.open_lines(port, 320 - len(lines), of="127.0.0.2")
            ended, _, _ = select.select(lines, [], [], 0.1)
            for line in ended:
                line.close()
            lines = [line for line in lines if line not in ended]
        for line in lines:
            line.close()

    crowding = asyncio.create_task(asyncio.to_thread(crowd))
    try:
        await apart.heard("crowded")
        await apart.come("ucl", "charite")
        body = {"program": "x", "version": "1", "os": "y"}
        assert (await apart.site("ucl").say("software-started", body)).accepted
    finally:
        over.set()
        await crowding


async def test_message_that_says_it_has_two_gigabytes_is_refused_by_its_head(besieged):
    siege = await besieged()

    def send():
        raw = Raw(siege.port, siege.attacker)
        stream = raw.call(SESSION)
        raw.send(frame(raw_lines.DATA, 0, stream, message(b"", claimed=(1 << 31) - 1)))
        part = frame(raw_lines.DATA, 0, stream, bytes(16_384)) * 64
        taken = raw.sends(part, 200)
        raw.close()
        return taken

    assert not await asyncio.to_thread(send)
    await siege.works_on()


async def test_tiny_messages_without_end_wait_at_the_sender(besieged):
    siege = await besieged()
    hello = codec.from_site_bytes(FromSite(siege.apart.site("amc").hello()))

    def send():
        raw = Raw(siege.port, siege.attacker)
        raw.line.settimeout(3)
        stream = raw.call(SESSION)
        raw.send(frame(raw_lines.DATA, 0, stream, message(hello)))
        beat = frame(raw_lines.DATA, 0, stream, message(b"\x22\x00")) * 1000
        taken = raw.sends(beat, 1000)
        raw.close()
        return taken

    assert not await asyncio.to_thread(send)
    await siege.works_on()


async def test_streams_that_are_opened_and_reset_without_end_cost_nothing(besieged):
    siege = await besieged()

    def send():
        raw = Raw(siege.port, siege.attacker)
        raw.line.settimeout(3)
        for _ in range(300):
            burst = b""
            for _ in range(100):
                stream = raw.stream()
                burst += frame(
                    raw_lines.HEADERS,
                    raw_lines.END_HEADERS,
                    stream,
                    raw_lines.headers(SESSION),
                )
                burst += frame(raw_lines.RESET, 0, stream, bytes([0, 0, 0, 8]))
            if not raw.send(burst):
                break
        raw.close()

    await asyncio.to_thread(send)
    await siege.works_on()


async def test_sessions_replaced_as_fast_as_can_be_take_nobody_s_turn(besieged):
    siege = await besieged()
    site, end = siege.apart.site("amc"), asyncio.get_running_loop().time() + 3

    async def opens(channel):
        opened = 0
        while asyncio.get_running_loop().time() < end:
            call = channel.stream_stream(
                SESSION, request_serializer=None, response_deserializer=None
            )()
            try:
                await call.write(codec.from_site_bytes(FromSite(site.hello())))
                opened += bool(await call.read())
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass
            call.cancel()
        return opened

    async with channel_to(siege.attacker) as channel:
        opening = asyncio.gather(*(opens(channel) for _ in range(12)))
        await siege.works_on()
        assert sum(await opening) < 50
    await siege.works_on()


async def test_frames_of_random_bytes_are_answered_or_cut_off(besieged):
    siege = await besieged()
    draws = random.Random(7)

    def send():
        for _ in range(40):
            raw = Raw(siege.port, siege.attacker)
            for _ in range(20):
                kind, flags = draws.randrange(12), draws.randrange(256)
                stream, size = draws.choice([0, 1, 3]), draws.randrange(200)
                if not raw.send(frame(kind, flags, stream, draws.randbytes(size))):
                    break
            raw.close()

    await asyncio.to_thread(send)
    await siege.works_on()


async def test_bytes_that_are_no_message_are_the_peer_s_fault(besieged):
    siege = await besieged()
    async with channel_to(siege.attacker) as channel:
        for name in ("Federation/Session", "Federation/Upload", "Audit/Entries"):
            call = channel.stream_stream(
                f"/concilium.v1.{name}", request_serializer=None, response_deserializer=None
            )()
            async with refused("malformed-message", grpc.StatusCode.INVALID_ARGUMENT):
                await call.write(b"\xff\xff\xff")
                await call.read()
    await siege.works_on()
