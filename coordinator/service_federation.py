"""The sites' side of the coordinator: sessions, downloads and uploads."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from coordinator import resuming, sending
from coordinator.service_guard import caller
from coordinator.store import outbox
from coordinator.store.fetchable import attempt_of, may_fetch
from governance.identity.clock import check_clock
from governance.pacing import Pace
from protos import codec
from protos.concilium.v1 import federation_pb2 as pb
from protos.concilium.v1 import federation_pb2_grpc
from protos.errors import PeerFault, Refused
from protos.words import (
    Goodbye,
    Heartbeat,
    Hello,
    SiteName,
    ToSite,
    UploadHeader,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coordinator import sessions
    from coordinator.conductor import Conductor
    from coordinator.uploads import Sink
    from protos.words import FromSite

_log = structlog.get_logger("federation")
_SMALL_BYTES = 64 * 1024


class FederationService(federation_pb2_grpc.FederationServicer):
    """Speak with the sites; every decision is the conductor's."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._base = conductor.base

    # --- the session ---------------------------------------------------------------------

    async def Session(self, requests: AsyncIterator[pb.FromSite], context: Any) -> None:
        """Serve one site's long-lived stream until it ends."""
        peer = caller()
        site = SiteName(peer.name)
        first = await anext(aiter(requests), None)
        if first is None:
            return
        hello = codec.from_site_in(first)
        goodbye = self._welcome_or_not(hello)
        if goodbye is not None:
            _log.warning("goodbye", site=site, rule=goodbye.rule, what=goodbye.sentence)
            await context.write(codec.to_site_out(ToSite(goodbye)))
            return
        session = self._base.sessions.open(site, peer, asyncio.current_task())
        _log.info("site-connected", site=site)
        try:
            await self._base.sessions.make_room(session)
            await self._begin(session, hello, context)
            reader = asyncio.create_task(self._read(session, requests))
            try:
                await self._write(session, context, reader)
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
        finally:
            self._base.sessions.close(session)
            _log.info("site-gone", site=site)
            self._conductor.nudge()

    def _welcome_or_not(self, message: FromSite) -> Goodbye | None:
        hello = message.body
        if not isinstance(hello, Hello):
            raise PeerFault("the first message is not a hello", rule="hello-first")
        if not hello.protocol_lowest <= codec.PROTOCOL <= hello.protocol_highest:
            newer = hello.protocol_lowest > codec.PROTOCOL
            who = "the coordinator" if newer else "this site"
            spoken = f"{hello.protocol_lowest} to {hello.protocol_highest}"
            return Goodbye(
                "protocol-version",
                f"no common protocol version: {hello.software} speaks {spoken}, the "
                f"coordinator {codec.PROTOCOL}; {who} must upgrade",
            )
        try:
            check_clock(self._base.now(), hello.clock)
        except Refused as problem:
            return Goodbye(problem.rule, str(problem))
        return None

    async def _begin(self, session: sessions.Session, message: FromSite, context: Any) -> None:
        hello = message.body
        assert isinstance(hello, Hello)

        def known(connection: Any) -> int:
            if hello.renumber:
                resuming.begin_anew(connection, session.site)
            outbox.meet_again(connection, session.site, message.ack)
            outbox.acknowledged(connection, session.site, message.ack)
            return outbox.taken(connection, session.site)

        taken = await self._base.store.write(known)
        session.written, session.taken, session.told = message.ack, taken, taken
        limit = self._base.settings.limits.message
        welcome = Welcome(codec.PROTOCOL, self._base.heartbeat_s, limit, self._base.now())
        await context.write(codec.to_site_out(ToSite(welcome, ack=taken)))
        session.quiet = hello.quiet
        await self._conductor.site_connected(session.site, hello)
        session.woken.set()

    async def _read(
        self, session: sessions.Session, requests: AsyncIterator[pb.FromSite]
    ) -> None:
        acknowledged, store = session.written, self._base.store
        pace = self._pace()
        async for request in requests:
            await asyncio.sleep(pace.wait_s(asyncio.get_running_loop().time()))
            message = codec.from_site_in(request)
            if message.ack > acknowledged:
                acknowledged, site = message.ack, session.site
                done = partial(outbox.acknowledged, site=site, seq=acknowledged)
                store.later(("acknowledged", site), done)  # its next hello says so again
            if isinstance(message.body, Heartbeat):
                if session.heard(message.body):
                    self._conductor.nudge()
            elif message.seq:
                session.taken = await self._conductor.take(session.site, message)
                session.woken.set()

    async def _write(
        self, session: sessions.Session, context: Any, reader: asyncio.Task[None]
    ) -> None:
        while not reader.done():
            woken = asyncio.create_task(session.woken.wait())
            await asyncio.wait(
                {woken, reader},
                timeout=self._base.heartbeat_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not woken.done():
                woken.cancel()
                session.push(ToSite(Heartbeat()))
            session.woken.clear()
            await self._flush(session, context)
            if session.ended is not None:
                await context.write(codec.to_site_out(ToSite(session.ended)))
                return
        if not reader.cancelled():
            reader.result()

    async def _flush(self, session: sessions.Session, context: Any) -> None:
        while session.unnumbered:
            await context.write(codec.to_site_out(session.unnumbered.popleft()))
        if session.mail:
            await self._deliver(session, context)
        if session.told != session.taken:
            session.told = session.taken
            await context.write(codec.to_site_out(ToSite(Heartbeat(), ack=session.told)))

    async def _deliver(self, session: sessions.Session, context: Any) -> None:
        """Write what a site's outbox holds; each message says too what was taken by now."""
        session.mail = False
        site, after = session.site, session.written
        waiting = await self._base.store.read(lambda c: outbox.unsent(c, site, after))
        for seq, message in waiting:
            word = pb.ToSite.FromString(message)
            word.ack = session.told = session.taken
            await context.write(word)
            session.written = seq

    def _pace(self) -> Pace:
        return Pace(self._base.settings.limits.session_messages_per_second)

    # --- transfers -----------------------------------------------------------------------

    async def Download(self, request: pb.DownloadRequest, context: Any) -> None:
        """Send a model or a strategy state, by digest, from an offset on; only a site's own."""
        wanted, site = codec.download_in(request), SiteName(caller().name)
        may, attempt = await self._base.store.read(
            lambda c: (may_fetch(c, site, wanted.digest), attempt_of(c, wanted.digest))
        )
        if not may:
            raise Refused(
                f"no agreement that {site} works under has this model", rule="unknown-model"
            )
        await sending.send_file(self._base, wanted, context, attempt)

    async def UploadStatus(self, request: pb.UploadRef, context: Any) -> pb.UploadOffset:
        """Say from which byte an upload goes on."""
        upload = codec.upload_ref_in(request)
        offset = await self._conductor.upload_offset(SiteName(caller().name), upload)
        return codec.upload_offset_out(offset)

    async def Upload(self, requests: AsyncIterator[pb.UploadPart], context: Any) -> pb.Receipt:
        """Take an update: header, then its bytes from the offset on."""
        site = SiteName(caller().name)
        parts = aiter(requests)
        first = await anext(parts, None)
        header = codec.upload_part_in(first) if first is not None else None
        if not isinstance(header, UploadHeader):
            raise PeerFault("an upload begins with its header", rule="header-first")
        slot = await self._conductor.upload_begins(site, header)
        try:
            await _written(slot, parts, self._pace())
        except PeerFault as problem:
            await self._conductor.upload_spoilt(site, header, problem)
            raise
        return codec.receipt_out(await self._conductor.upload_ends(site, header))


async def _written(slot: Sink, parts: AsyncIterator[pb.UploadPart], pace: Pace) -> None:
    """Write the bytes that follow a header; raises PeerFault for more than it declared.

    Parts that are small have a pace. Stops an update that comes byte by byte, each of which
    costs as much as a mebibyte.
    """
    with slot as writing:
        async for part in parts:
            chunk = codec.upload_part_in(part)
            if isinstance(chunk, UploadHeader):
                raise PeerFault("an upload has one header", rule="header-first")
            if len(chunk) < _SMALL_BYTES:
                await asyncio.sleep(pace.wait_s(asyncio.get_running_loop().time()))
            await asyncio.to_thread(writing.write, chunk)


def register(conductor: Conductor, server: Any) -> None:
    """Add the service to a (guarded) server."""
    federation_pb2_grpc.add_FederationServicer_to_server(FederationService(conductor), server)
