"""The line itself, over a real socket with mutual TLS: words, chunks, what errors become."""

# ruff: noqa: N802 - methods are named as the services have them

from __future__ import annotations

import asyncio

import grpc
import pytest
import pytest_asyncio
from hospital import FEDERATION

from governance.identity import folder
from protos import codec
from protos.concilium.v1 import audit_pb2_grpc, federation_pb2_grpc
from protos.errors import PeerFault, Refused, Unavailable
from protos.words import (
    CertificateIssued,
    EntryRecord,
    FromSite,
    Heartbeat,
    Receipt,
    ToSite,
    UploadHeader,
    UploadOffset,
    UploadRef,
)
from site_agent.egress import Egress
from site_agent.link import Address, Link, Papers

DATA = bytes(3 * 1024 * 1024 + 5)
REF = UploadRef(1, 1, "a" * 64, len(DATA))


class Coordinator(federation_pb2_grpc.FederationServicer, audit_pb2_grpc.AuditServicer):
    """Whatever a test wants to hear."""

    def __init__(self):
        self.parts = []
        self.fails = self.says = None
        self.peers = []

    async def _maybe_fail(self, context):
        self.peers.append(context.auth_context().get("peer_uri"))
        if self.fails is not None:
            await context.abort(*self.fails)

    async def Session(self, requests, context):
        await self._maybe_fail(context)
        async for request in requests:
            word = codec.from_site_in(request)
            body = self.says or word.body
            await context.write(codec.to_site_out(ToSite(body, ack=word.seq)))

    async def Download(self, request, context):
        await self._maybe_fail(context)
        wanted = codec.download_in(request)
        for start in range(wanted.offset, len(DATA), codec.CHUNK_BYTES):
            await context.write(codec.chunk_out(DATA[start : start + codec.CHUNK_BYTES]))

    async def UploadStatus(self, request, context):
        await self._maybe_fail(context)
        return codec.upload_offset_out(UploadOffset(7, complete=False))

    async def Upload(self, requests, context):
        await self._maybe_fail(context)
        self.parts = [codec.upload_part_in(part) async for part in requests]
        return codec.receipt_out(Receipt("a" * 64, 9))

    async def Entries(self, request, context):
        await self._maybe_fail(context)
        wanted = codec.entries_request_in(request)
        records = (EntryRecord(wanted.since, "2026-11-21T10:46:00.000000Z", b"{}"),)
        await context.write(codec.entry_batch_out(records))

    async def Checkpoint(self, request, context):
        await self._maybe_fail(context)
        return codec.note_out("a note")

    async def Consistency(self, request, context):
        await self._maybe_fail(context)
        return codec.proof_out((bytes(32),))


@pytest_asyncio.fixture
async def line(today):
    """A served coordinator and a link to it."""
    keys = today.place / "coordinator" / "keys"
    server = grpc.aio.server()
    servicer = Coordinator()
    federation_pb2_grpc.add_FederationServicer_to_server(servicer, server)
    audit_pb2_grpc.add_AuditServicer_to_server(servicer, server)
    pair = ((keys / "coordinator.key").read_bytes(), (keys / "coordinator.pem").read_bytes())
    root = (keys / "root.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    egress = Egress(today.store, FEDERATION, today.clock)
    link = Link(Address(f"localhost:{port}"), papers(today.identity), egress)
    link.coordinator, link.port, link.server = servicer, port, server
    link.egress = egress
    yield link
    await link.close()
    await server.stop(0)


def papers(identity):
    return Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)


async def test_the_site_is_who_its_certificate_says(line):
    await line.checkpoint()
    assert line.coordinator.peers == [[b"concilium://hearts/site/charite"]]


async def test_words_go_both_ways(line):
    async with line.session() as stream:
        await stream.send(FromSite(Heartbeat("hearts/1/1/train", 3), seq=4))
        assert await stream.receive() == ToSite(Heartbeat("hearts/1/1/train", 3), ack=4)


async def test_a_file_comes_in_chunks_from_an_offset_on(line):
    chunks = [chunk async for chunk in line.download("a" * 64, 5)]
    assert b"".join(chunks) == DATA[5:]
    assert max(map(len, chunks)) == 1024 * 1024


async def test_an_update_goes_in_chunks_behind_its_header(line):
    async def chunks():
        for start in range(0, len(DATA), codec.CHUNK_BYTES):
            yield DATA[start : start + codec.CHUNK_BYTES]

    header = UploadHeader(REF, 0, b"statement")
    assert await line.upload(header, chunks()) == Receipt("a" * 64, 9)
    assert line.coordinator.parts[0] == header
    assert b"".join(line.coordinator.parts[1:]) == DATA
    assert await line.upload_status(REF) == UploadOffset(7, complete=False)


async def test_the_log_can_be_read(line):
    batches = [batch async for batch in line.entries(3, 4)]
    assert batches[0][0].seq == 3
    assert await line.consistency(1, 2) == (bytes(32),)
    assert await line.checkpoint() == "a note"


ERRORS = [
    (grpc.StatusCode.FAILED_PRECONDITION, "round-over: too late", Refused, "round-over"),
    (grpc.StatusCode.PERMISSION_DENIED, "revoked: this name is barred", Refused, "revoked"),
    *(
        (grpc.StatusCode.PERMISSION_DENIED, f"{rule}: of amc", Unavailable, rule)
        for rule in ("certificate-expired", "certificate-not-yet-valid")
    ),
    (grpc.StatusCode.INVALID_ARGUMENT, "digest: not the same", PeerFault, "digest"),
    (grpc.StatusCode.DATA_LOSS, "store-damaged: there", Unavailable, "store-damaged"),
    (grpc.StatusCode.UNAVAILABLE, "later", Unavailable, "unavailable"),
    (grpc.StatusCode.INTERNAL, "a bug", Unavailable, "unavailable"),
    (grpc.StatusCode.UNKNOWN, "", Unavailable, "unavailable"),
]


@pytest.mark.parametrize(("code", "details", "kind", "rule"), ERRORS)
async def test_each_status_becomes_one_of_our_errors(line, code, details, kind, rule):
    line.coordinator.fails = (code, details)
    for call in (
        lambda: line.upload_status(REF),
        line.checkpoint,
        lambda: anext(line.download("a" * 64, 0)),
        lambda: _refused(line),
    ):
        with pytest.raises(kind) as told:
            await call()
        assert told.value.rule == rule


async def _heard(line):
    async with line.session() as stream:
        await stream.send(FromSite(Heartbeat()))
        return await _next(stream)


async def _refused(line):
    """Open a session that ends at once: who writes too may hear of the broken line first."""
    async with line.session() as stream:
        return await _next(stream)


async def _next(stream):
    word = await stream.receive()
    if word is None:
        await stream.ended()
    return word


async def test_a_session_that_ended_in_order_says_so(line):
    async with line.session() as stream:
        await stream.send(FromSite(Heartbeat()))
        await stream.receive()
        await line.server.stop(0)
        with pytest.raises(Unavailable):
            await _next(stream)
        with pytest.raises(Unavailable):
            await stream.send(FromSite(Heartbeat()))


async def test_nobody_there_is_worth_another_try(line):
    await line.server.stop(0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await _heard(line)


async def test_a_word_that_breaks_a_limit_is_the_peers_fault(line):
    line.coordinator.says = CertificateIssued(b"")
    with pytest.raises(PeerFault):
        await _heard(line)


async def test_a_renewed_certificate_takes_a_new_channel(line, today):
    request = folder.begin_renewal(today.identity, [today.m.voice.key])
    issued = today.authority.issue(request.csr, name="charite", role="site", now=_now())
    before = today.identity.peer.serial
    renewed = folder.finish_renewal(today.identity, issued.pem_chain, now=_now())
    await line.renew(papers(renewed))
    assert renewed.peer.serial != before
    assert await asyncio.wait_for(line.checkpoint(), 20) == "a note"


async def test_another_federations_coordinator_is_not_believed(line, today, tmp_path):
    from governance.identity.authority import create

    create(
        tmp_path / "other", federation="lungs", host="localhost", passphrase=b"x", now=_now()
    )
    own = papers(today.identity)
    root = (tmp_path / "other" / "keys" / "root.pem").read_bytes()
    stranger = Link(
        Address(f"localhost:{line.port}"), Papers(own.key, own.chain, root), line.egress
    )
    with pytest.raises(Unavailable):
        await stranger.checkpoint()
    await stranger.close()
    assert line.coordinator.peers == []


def _now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_papers_do_not_print_their_key(today):
    assert "PRIVATE" not in repr(papers(today.identity))
