"""A coordinator's services on a real socket, that keep every byte which a site sent them."""

# ruff: noqa: N802 - methods are named as the services have them

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc

from protos import codec
from protos.concilium.v1 import audit_pb2_grpc, federation_pb2_grpc
from protos.words import (
    BlobRef,
    EntryRecord,
    Hello,
    Receipt,
    ReleaseParts,
    ToSite,
    UploadHeader,
    UploadOffset,
    Welcome,
)

DATA = bytes(range(256)) * 40


class Coordinator(federation_pb2_grpc.FederationServicer, audit_pb2_grpc.AuditServicer):
    """Answer everything politely; `received` are (method, bytes) in the order they came."""

    def __init__(self, *, clock=None, offset=0):
        self.received = []
        self._clock, self._offset = clock, offset
        self.on_word = lambda word: None

    def _took(self, name, request):
        self.received.append((name, request))

    async def Session(self, requests, context):
        async for request in requests:
            self._took("Session", request)
            word = codec.from_site_parse(request)
            if isinstance(word.body, Hello):
                clock = self._clock or datetime.now(UTC)
                welcome = Welcome(codec.PROTOCOL, 5.0, 4 << 20, clock)
                await context.write(codec.to_site_out(ToSite(welcome)))
            self.on_word(word)

    async def Download(self, request, context):
        self._took("Download", request)
        await context.write(codec.chunk_out(DATA))

    async def UploadStatus(self, request, context):
        self._took("UploadStatus", request)
        return codec.upload_offset_out(UploadOffset(self._offset, complete=False))

    async def Upload(self, requests, context):
        digest = ""
        async for part in requests:
            self._took("Upload", part)
            said = codec.upload_part_in(type(codec.upload_part_out(b"")).FromString(part))
            digest = said.upload.digest if isinstance(said, UploadHeader) else digest
        return codec.receipt_out(Receipt(digest, 9))

    async def Entries(self, request, context):
        self._took("Entries", request)
        records = (EntryRecord(1, "2026-11-21T10:46:00.000000Z", b"{}"),)
        await context.write(codec.entry_batch_out(records))

    async def Checkpoint(self, request, context):
        self._took("Checkpoint", request)
        return codec.note_out("a note")

    async def Consistency(self, request, context):
        self._took("Consistency", request)
        return codec.proof_out((bytes(32),))

    async def Release(self, request, context):
        self._took("Release", request)
        model = BlobRef("a" * 64, 1)
        return codec.release_out(ReleaseParts("v1", model, b"{}", (b"{}",), (), "a note"))


class _Raw:
    """Registers services so that requests come as the bytes that were on the socket."""

    def __init__(self, server):
        self._server = server

    def add_generic_rpc_handlers(self, handlers):
        """Leave out what would take the bytes apart."""

    def add_registered_method_handlers(self, service, handlers):
        raw = {name: _with_bytes(handler) for name, handler in handlers.items()}
        made = grpc.method_handlers_generic_handler(service, raw)
        self._server.add_generic_rpc_handlers((made,))


def _with_bytes(handler):
    shapes = {
        (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
    }
    make, inner = shapes[handler.request_streaming, handler.response_streaming]
    return make(inner, response_serializer=handler.response_serializer)


@asynccontextmanager
async def serving(keys, servicer):
    """Serve on a port of this machine, with mutual TLS; give the port."""
    server = grpc.aio.server()
    raw = _Raw(server)
    federation_pb2_grpc.add_FederationServicer_to_server(servicer, raw)
    audit_pb2_grpc.add_AuditServicer_to_server(servicer, raw)
    pair = ((keys / "coordinator.key").read_bytes(), (keys / "coordinator.pem").read_bytes())
    root = (keys / "root.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], root, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)
