"""The only place where a site speaks gRPC: one channel a federation, dialled out.

Nothing connects to a hospital. The channel is mutual TLS 1.3 with keepalive, one for the whole
process and used again and again; only a renewed certificate needs a new one. A peer's error
becomes one of ours here, and words become bytes: `egress` lists them before the line has them.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from governance.identity.tls import pin_tls13
from protos import codec
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from protos.words import ConsistencyRequest, DownloadRequest, EntriesRequest, ReleaseRequest

pin_tls13()

import grpc  # noqa: E402 - the cipher list must be set before grpc is loaded
from google.protobuf import message_factory  # noqa: E402 - as above

from protos.concilium.v1 import audit_pb2, federation_pb2  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message
    from sqlalchemy import Connection

    from protos.words import (
        Digest,
        EntryRecord,
        FromSite,
        Receipt,
        ReleaseParts,
        ToSite,
        UploadHeader,
        UploadOffset,
        UploadRef,
    )
    from site_agent.egress import Egress

KEEPALIVE_MS: Final = 20_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
UNARY_S: Final = 60.0
OLD_LINE_S: Final = 300.0
"""How long transfers may go on over a line whose certificate was renewed."""
UNAVAILABLE: Final = "unavailable"
CALL_FAILED: Final = "call-failed"
_PROXY_SAID: Final = re.compile(r"HTTP proxy returned response code ([0-9]{3})")
_LOGIN_WANTED: Final = 407
_FEDERATION: Final = federation_pb2.DESCRIPTOR.services_by_name["Federation"]
_AUDIT: Final = audit_pb2.DESCRIPTOR.services_by_name["Audit"]
_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_RULE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")

_ERRORS: Final[Mapping[grpc.StatusCode, type[ConciliumError]]] = {
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Refused,
    grpc.StatusCode.NOT_FOUND: Refused,
    grpc.StatusCode.INVALID_ARGUMENT: PeerFault,
}
"""Every other status is worth another try, and so is what was damaged there: it is restored."""
_PASSING: Final = frozenset({"certificate-expired", "certificate-not-yet-valid"})
"""Refusals of whoever asks, whatever it asks: a renewal mends them, or a clock set right."""


@dataclass(frozen=True, slots=True)
class Address:
    """Whom to dial, and how: `proxy` is `none`, `env` or `http://host:port`."""

    target: str
    proxy: str = "none"


@dataclass(frozen=True, slots=True)
class Papers:
    """What the channel shows and trusts, PEM."""

    key: bytes = field(repr=False)
    chain: bytes
    root: bytes


class Stream:
    """One open session: words out, words in."""

    def __init__(self, call: Any, egress: Egress) -> None:  # noqa: ANN401 - grpc's, not public
        self._call = call
        self._egress = egress

    async def send(self, word: FromSite) -> None:
        """Write one word; waits while the coordinator does not read."""
        await self.send_chosen(lambda _: (word,))

    async def send_chosen(
        self, choose: Callable[[Connection], Iterable[FromSite]]
    ) -> Sequence[FromSite]:
        """Write the words that a question to the store chooses, and return them."""
        if self._call.done():
            await self.ended()
        words = await self._egress.words(choose)
        if self._call.done():  # meanwhile
            await self.ended()
        with _our_errors("session"):
            for _, raw in words:
                await self._call.write(raw)
        return [word for word, _ in words]

    async def receive(self) -> ToSite | None:
        """Read one word, or None when the coordinator ended the session."""
        with _our_errors("session"):
            message = await self._call.read()
        if message is grpc.aio.EOF:
            return None
        return codec.to_site_in(message)

    async def ended(self) -> None:
        """Raise why the session ended, if it was an error."""
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            raise _ours(code, await self._call.details() or "", "session")


class Link:
    """The channel of one federation."""

    def __init__(self, address: Address, papers: Papers, egress: Egress) -> None:
        self._address = address
        self._egress = egress
        self._channel = _channel(address, papers)
        self._old: asyncio.Task[None] | None = None

    async def renew(self, papers: Papers) -> None:
        """Dial with new papers; transfers on the old line may end there, and else resume."""
        old, self._channel = self._channel, _channel(self._address, papers)
        if self._old is not None:
            self._old.cancel()
        self._old = asyncio.create_task(old.close(OLD_LINE_S))

    async def close(self) -> None:
        """Hang up."""
        if self._old is not None:
            self._old.cancel()
            await asyncio.gather(self._old, return_exceptions=True)
        await self._channel.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Stream]:
        """Open the one session; it is cancelled when the block is left."""
        call = self._method(_FEDERATION, "Session")()
        try:
            stream = Stream(call, self._egress)
            await self._answered(call)
            yield stream
        finally:
            call.cancel()

    async def _answered(self, call: Any) -> None:  # noqa: ANN401 - as above
        """Wait until the coordinator has proven who it is, or the call has failed.

        Nothing is listed as sent to somebody whom no byte of ours can reach.
        """
        ended = asyncio.ensure_future(call.code())
        try:
            while not ended.done():
                state = self._channel.get_state(try_to_connect=True)
                if state is grpc.ChannelConnectivity.READY:
                    return
                changed = asyncio.ensure_future(self._channel.wait_for_state_change(state))
                await asyncio.wait({ended, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            ended.cancel()

    async def download(self, digest: Digest, offset: int) -> AsyncIterator[bytes]:
        """Give the bytes of a file from an offset on, in chunks of 1 MiB at most."""
        raw = _bytes(codec.download_out(DownloadRequest(digest, offset)))
        await self._egress.asked("download-request", raw, rule="task")
        call = self._method(_FEDERATION, "Download")(raw)
        try:
            with _our_errors("download"):
                async for chunk in call:
                    yield codec.chunk_in(chunk)
        finally:
            call.cancel()

    async def upload_status(self, upload: UploadRef) -> UploadOffset:
        """Ask from which byte an upload goes on."""
        raw = _bytes(codec.upload_ref_out(upload))
        await self._egress.asked("upload-status", raw, rule="budget")
        with _our_errors("upload"):
            answer = await self._method(_FEDERATION, "UploadStatus")(raw, timeout=UNARY_S)
        return codec.upload_offset_in(answer)

    async def upload(self, header: UploadHeader, chunks: AsyncIterable[bytes]) -> Receipt:
        """Send an update from the header's offset on, and return the receipt."""
        raw = _bytes(codec.upload_part_out(header))
        await self._egress.upload(header, raw)

        async def parts() -> AsyncIterator[bytes]:
            yield raw
            async for chunk in chunks:
                yield _bytes(codec.upload_part_out(chunk))

        with _our_errors("upload"):
            return codec.receipt_in(await self._method(_FEDERATION, "Upload")(parts()))

    async def entries(self, since: int, until: int) -> AsyncIterator[tuple[EntryRecord, ...]]:
        """Give the log's entries with since <= seq < until, in batches."""
        raw = _bytes(codec.entries_request_out(EntriesRequest(since, until)))
        await self._egress.asked("entries-request", raw, rule="witness")
        call = self._method(_AUDIT, "Entries")(raw)
        try:
            with _our_errors("ledger"):
                async for batch in call:
                    yield codec.entry_batch_in(batch)
        finally:
            call.cancel()

    async def checkpoint(self) -> str:
        """Return the log's latest checkpoint with its cosignatures, a signed note."""
        raw = _bytes(audit_pb2.CheckpointRequest())
        await self._egress.asked("checkpoint-request", raw, rule="witness")
        with _our_errors("ledger"):
            answer = await self._method(_AUDIT, "Checkpoint")(raw, timeout=UNARY_S)
        return codec.note_in(answer)

    async def consistency(self, from_size: int, to_size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of one size extends that of another."""
        raw = _bytes(codec.consistency_request_out(ConsistencyRequest(from_size, to_size)))
        await self._egress.asked("consistency-request", raw, rule="witness")
        with _our_errors("ledger"):
            answer = await self._method(_AUDIT, "Consistency")(raw, timeout=UNARY_S)
        return codec.proof_in(answer)

    async def release(self, release: str) -> ReleaseParts:
        """Return all of a release but its model."""
        raw = _bytes(codec.release_request_out(ReleaseRequest(release)))
        await self._egress.asked("release-request", raw, rule="release")
        with _our_errors("release"):
            answer = await self._method(_AUDIT, "Release")(raw, timeout=UNARY_S)
        return codec.release_in(answer)

    def _method(self, service: ServiceDescriptor, name: str) -> Any:  # noqa: ANN401 - as above
        """Return how a method is called with the very bytes that were listed."""
        method = service.methods_by_name[name]
        shapes = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, False): self._channel.stream_unary,
            (True, True): self._channel.stream_stream,
        }
        answer = message_factory.GetMessageClass(method.output_type)
        return shapes[method.client_streaming, method.server_streaming](
            f"/{service.full_name}/{name}",
            request_serializer=None,
            response_deserializer=answer.FromString,
        )


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _channel(address: Address, papers: Papers) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(papers.root, papers.key, papers.chain)
    options: list[tuple[str, int | str]] = [
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", codec.WINDOW_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        # The agent's own backoff decides when to dial; the channel only must not sleep longer.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if address.proxy != "env":
        options.append(("grpc.enable_http_proxy", 0))
    if address.proxy not in {"env", "none"}:
        options[-1] = ("grpc.http_proxy", address.proxy)
    return grpc.aio.secure_channel(address.target, credentials, options=options)


@contextmanager
def _our_errors(what: str) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as problem:
        raise _ours(problem.code(), problem.details() or "", what) from None
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as problem:
        raise Unavailable(f"the {what} is closed: {problem}", rule="disconnected") from None


def _ours(code: grpc.StatusCode, details: str, what: str) -> ConciliumError:
    said = _PROXY_SAID.search(details) if code is grpc.StatusCode.UNAVAILABLE else None
    if said is not None:
        return _of_proxy(int(said[1]))
    kind = _ERRORS.get(code, Unavailable)
    rule, _, sentence = details.partition(": ")
    # A proxy on the way has errors of its own; and what is no rule's name could not be sent on.
    if sentence and (rule in _PASSING or code is grpc.StatusCode.DATA_LOSS):
        return Unavailable(f"{what}: {sentence}", rule=rule)
    if kind is Unavailable or not sentence or _RULE.fullmatch(rule) is None:
        rule = UNAVAILABLE if kind is Unavailable else CALL_FAILED
        sentence = details or code.name.lower()
    return kind(f"{what}: {sentence}", rule=rule)


def _of_proxy(status: int) -> Unavailable:
    """Return what a hospital's proxy answered, and what its IT can do."""
    if status == _LOGIN_WANTED:
        return Unavailable(
            f"the hospital's proxy asks for a login ({status})",
            todo="Have IT let this machine through to the coordinator without one; or say "
            "`proxy: env` in site.yaml, and https_proxy=http://user:password@host:port where "
            "the agent's service is started.",
            rule="proxy-login",
        )
    return Unavailable(
        f"the hospital's proxy does not let through to the coordinator ({status})",
        todo="Have IT allow CONNECT to the coordinator's host and port for this machine.",
        rule="proxy-refused",
    )
