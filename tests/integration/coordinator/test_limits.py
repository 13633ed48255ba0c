"""What coordinator.yaml says of limits is kept."""

from __future__ import annotations

import asyncio
import contextlib
import time

import federations
import grpc
import pytest
import raw_lines
from raw_lines import Raw
from scripted_site import PATIENCE_S, channel_to, refused

from coordinator.conductor import Conductor
from coordinator.manners import CALLS_AT_ONCE
from coordinator.service_federation import FederationService
from coordinator.sessions import Sessions
from coordinator.store import outbox
from governance.settings import Limits
from protos import codec
from protos.concilium.v1 import federation_pb2_grpc
from protos.words import CosignatureSent, FromSite, StatementSent, UploadHeader


class Taking:
    """A conductor that has taken whatever came."""

    def __init__(self, base):
        self.base = base

    async def take(self, _, message):
        return message.seq


async def served(folders, **lines):
    """Serve with lines of coordinator.yaml replaced, or added."""
    path = folders.coordinator / "coordinator.yaml"
    kept = [
        line for line in path.read_text().splitlines() if line.partition(":")[0] not in lines
    ]
    kept += [f"{name}: {value}" for name, value in lines.items()]
    path.write_text("\n".join(kept) + "\n")
    return await federations.Here(folders).start()


async def test_site_that_speaks_too_fast_is_read_more_slowly(folders):
    fed = await served(folders, limits="{session_messages_per_second: 10}")
    try:
        (amc,) = await fed.come("amc")
        begun = time.monotonic()
        for _ in range(25):
            await amc.send(CosignatureSent(1, "no line at all"))
        await amc.acknowledged()
        assert time.monotonic() - begun > 1.5
        assert amc.over is None
    finally:
        await fed.end()


async def test_acknowledgements_do_not_pile_up_behind_a_site_that_never_reads(fed):
    session = Sessions().open("amc", None)
    service = FederationService(Taking(fed.base))

    async def said():
        for number in range(1, 41):
            word = FromSite(CosignatureSent(1, "no line at all"), seq=number)
            yield codec.from_site_out(word)

    await service._read(session, said())
    assert (list(session.unnumbered), session.taken) == ([], 40)


async def test_site_with_too_many_streams_open_gets_no_more_and_others_do(fed):
    async with channel_to(fed.folders.identity("amc")) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        silent = [stub.Upload() for _ in range(CALLS_AT_ONCE)]
        await asyncio.gather(*(call.wait_for_connection() for call in silent))
        for _ in range(20):  # the calls before it may still be on their way
            one_more = stub.Upload()
            silent.append(one_more)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    assert await one_more.code() is grpc.StatusCode.UNAVAILABLE
                    assert (await one_more.details()).startswith("too-many-calls: ")
                    break
        else:
            pytest.fail("every call was taken")
        await fed.come("ucl")
        for call in silent:
            call.cancel()


@pytest.mark.parametrize(
    ("limit", "size", "code"),
    [
        ("2MiB", 3 << 20, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("8MiB", 3 << 20, grpc.StatusCode.INVALID_ARGUMENT),  # read, and found to be none
        ("8MiB", 9 << 20, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_larger_message_than_the_file_says_is_not_read(folders, limit, size, code):
    fed = await served(folders, limits=f"{{message: {limit}}}")
    try:
        async with channel_to(fed.folders.identity("amc")) as channel:
            call = channel.stream_unary("/concilium.v1.Federation/Upload")(iter([bytes(size)]))
            assert await call.code() is code
        await fed.come("ucl")
    finally:
        await fed.end()


@pytest.mark.parametrize("beside", [1, 3])
async def test_of_sessions_whose_goodbye_is_not_read_the_oldest_is_cut_off(folders, beside):
    fed = await served(folders, limits=f"{{sessions_per_site: {beside}}}")
    hello = codec.from_site_bytes(FromSite(fed.site("amc").hello()))
    identity = fed.folders.identity("amc")

    raw = await asyncio.to_thread(Raw, int(identity.coordinator.rsplit(":", 1)[1]), identity)

    def opens():
        raw.send(raw_lines.frame(raw_lines.SETTINGS, 0, 0, raw_lines.READS_NOTHING))
        for _ in range(beside + 2):
            stream = raw.call("/concilium.v1.Federation/Session")
            raw.send(raw_lines.frame(raw_lines.DATA, 0, stream, raw_lines.message(hello)))

    try:
        await asyncio.to_thread(opens)
        await fed.until(lambda: fed.base.sessions.standing("amc"))
        first = fed.base.sessions.standing("amc")[0]
        async with asyncio.timeout(PATIENCE_S):
            await first.closed.wait()
        assert len(fed.base.sessions.standing("amc")) == beside + 1
        await fed.come("ucl")
    finally:
        raw.close()
        await fed.end()


async def test_update_that_comes_byte_by_byte_is_read_more_slowly(fed, amc, task, update):
    fed.base.settings = fed.base.settings.model_copy(
        update={"limits": Limits(session_messages_per_second=10)}
    )
    data, blob, statement = update
    reference = amc.reference(task, blob)

    async def parts():
        yield codec.upload_part_out(UploadHeader(reference, 0, statement.envelope))
        for at in range(15):
            yield codec.upload_part_out(data[at : at + 1])

    begun = time.monotonic()
    async with amc.calls() as stub, refused("upload-short"):
        await stub.Upload(parts())
    assert time.monotonic() - begun > 0.5


async def test_looking_again_is_asked_for_once_however_often(fed):
    conductor = Conductor(fed.base)
    for _ in range(100):
        conductor.nudge()
    assert len(conductor._asks) == 1


async def test_site_that_acknowledges_nothing_is_not_heard_for_ever(fed, monkeypatch):
    monkeypatch.setattr(outbox, "WAITING", 5)
    (amc,) = await fed.come("amc")
    amc.acks = False
    for number in range(1, 8):
        word = FromSite(StatementSent(b"{}"), seq=number, ack=0)  # each brings a receipt
        await amc._write(amc._call, word)
    over = await amc.ended()
    assert "not-acknowledged: " in over.said
    amc.acks, amc.sent = True, 5
    await amc.connect()
    body = {"program": "x", "version": "1", "os": "y"}
    assert (await amc.say("software-started", body)).accepted
