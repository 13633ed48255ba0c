"""A hospital's line to the coordinator, scripted: a session that can be cut and comes back.

It keeps what a site's store would keep (what it said and was not acknowledged, what it took) in
memory, so that a test can cut the line anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import grpc
import pytest

from protos import codec
from protos.concilium.v1 import federation_pb2_grpc
from protos.words import (
    FromSite,
    Goodbye,
    Heartbeat,
    Hello,
    Task,
    TaskKind,
    Welcome,
)

PATIENCE_S = 60
OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]


class Ended(Exception):
    """The session is over: by a goodbye, or by a status."""

    def __init__(self, rule, said=""):
        super().__init__(f"{rule}: {said}")
        self.rule, self.said = rule, said


def credentials(identity):
    return grpc.ssl_channel_credentials(
        root_certificates=identity.root_pem,
        private_key=identity.tls_key_pem,
        certificate_chain=identity.tls_chain_pem,
    )


def channel_to(identity, *, address=None):
    return grpc.aio.secure_channel(
        address or identity.coordinator, credentials(identity), options=OPTIONS
    )


@contextlib.asynccontextmanager
async def refused(rule, code=grpc.StatusCode.FAILED_PRECONDITION):
    """Hold that what is inside is refused over the wire, with this status and rule."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        yield
    said = error.value.details()
    assert (error.value.code(), said.partition(": ")[0]) == (code, rule), said


class Line:
    """One hospital's session; a wait ends after `PATIENCE_S` and says what had come."""

    def __init__(self, identity):
        self.identity = identity
        self.clock = lambda: datetime.now(UTC)
        self.quiet = None
        self.unacknowledged = []
        self.sent = self.taken = 0
        self.replayed = 0
        self.acks = True
        self.comes_back = False
        self.inbox = []
        self.heard = []
        self.welcome = None
        self.over = None
        self._channel = self._call = self._reader = None
        self._news = asyncio.Condition()
        self._mouth = asyncio.Lock()
        self._works = []

    @property
    def name(self):
        return self.identity.name

    def __repr__(self):
        return f"<{self.name} heard {self.heard[-8:]}>"

    # --- the session ---------------------------------------------------------------------

    def hello(self, **changes):
        words = {
            "protocol_lowest": 1,
            "protocol_highest": 1,
            "software": "scripted",
            "models": ("builtin:linear",),
            "cosigned_size": 0,
            "clock": self.clock(),
            "quiet": self.quiet,
        }
        return Hello(**{**words, **changes})

    async def connect(self, **hello):
        """Open a session, say hello, and send again what was not acknowledged."""
        await self.cut()
        self.over, self.welcome = None, None
        self._channel = channel_to(self.identity)
        stub = federation_pb2_grpc.FederationStub(self._channel)
        call = stub.Session(wait_for_ready=True)
        first = FromSite(self.hello(**hello), ack=self.taken)
        self._call = call
        self._reader = asyncio.create_task(self._read(call))
        await self._write(call, first)
        await self._until(
            lambda: self.welcome is not None or self.over is not None, also_over=True
        )
        if self.over is not None:
            raise self.over
        return self

    def persists(self):
        """From now on come back whenever the line is cut, and wait through it."""
        self.comes_back = True
        self._works.append(asyncio.create_task(self._come_back()))

    async def _come_back(self):
        while True:
            await self.ended()
            with contextlib.suppress(Ended, asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await self.connect()

    async def cut(self):
        """Cut the line, as a cable does: nothing is said."""
        if self._channel is None:
            return
        self._call.cancel()
        await self._reader
        await self._channel.close()
        self._channel = None

    async def hang_up(self):
        """Close our half of the stream and wait until the other is closed."""
        await self._call.done_writing()
        await self._reader

    async def close(self):
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)
        await self.cut()

    async def _read(self, call):
        over = Ended("end-of-stream")
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                word = codec.to_site_in(message)
                if isinstance(word.body, Goodbye):
                    over = Ended(word.body.rule, word.body.sentence)
                await self._take(call, word)
            if over.rule == "end-of-stream" and await call.code() is not grpc.StatusCode.OK:
                over = Ended((await call.code()).name, await call.details())
        except grpc.aio.AioRpcError as error:
            over = Ended(error.code().name, error.details())
        except (asyncio.CancelledError, grpc.aio.UsageError):
            over = Ended("cut")
        async with self._news:
            self.over = over
            self._news.notify_all()

    async def _take(self, call, word):
        self.unacknowledged = [m for m in self.unacknowledged if m.seq > word.ack]
        if isinstance(word.body, Welcome):
            for message in self.unacknowledged:
                await self._write(call, message)
            self.welcome = word.body
        elif word.seq and word.seq <= self.taken:
            self.replayed += 1
            return
        elif word.seq:
            assert word.seq == self.taken + 1, f"{word.seq} came after {self.taken}"
            self.taken = word.seq
            if self.acks:
                beat = Heartbeat(quiet=self.quiet)
                await self._write(call, FromSite(beat, ack=self.taken))
        async with self._news:
            self.heard.append(type(word.body).__name__)
            if not isinstance(word.body, Heartbeat | Welcome):
                self.inbox.append(word.body)
            self._news.notify_all()

    async def _write(self, call, word):
        async with self._mouth:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(codec.from_site_out(word))

    async def send(self, body):
        """Send a numbered message; it is sent again after a cut until it is acknowledged."""
        self.sent += 1
        word = FromSite(body, seq=self.sent, ack=self.taken)
        self.unacknowledged.append(word)
        if self._channel is not None and self.welcome is not None:
            await self._write(self._call, word)

    async def beat(self, task="", steps_done=0):
        beat = Heartbeat(task, steps_done, self.quiet)
        await self._write(self._call, FromSite(beat, ack=self.taken))

    # --- waiting -------------------------------------------------------------------------

    async def _until(self, holds, *, also_over=False):
        async with self._news:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not holds():
                        if self.over is not None and not (also_over or self.comes_back):
                            raise self.over
                        await self._news.wait()
            except TimeoutError:
                raise AssertionError(
                    f"{self.name} waited in vain; in its inbox: {self.inbox}, over: {self.over}"
                ) from None

    async def next(self, word, /, **fields):
        """Wait for the first message of a kind with these fields, and take it."""

        def fitting():
            for body in self.inbox:
                if isinstance(body, word) and all(
                    getattr(body, name) == value for name, value in fields.items()
                ):
                    return body
            return None

        await self._until(lambda: fitting() is not None)
        body = fitting()
        self.inbox.remove(body)
        return body

    async def task(self, kind=TaskKind.TRAIN, **fields):
        return await self.next(Task, kind=kind, **fields)

    async def ended(self):
        """Wait until the session is over, and return how."""
        await self._until(lambda: self.over is not None, also_over=True)
        return self.over

    async def ended_by(self, *rules):
        """Hold that the session ended for one of these reasons.

        A call whose end meets a write of ours forgets its status: grpc says INTERNAL instead.
        """
        over = await self.ended()
        forgotten = (over.rule, over.said) == ("INTERNAL", "Internal error from Core")
        assert forgotten or over.rule in rules, over

    async def acknowledged(self):
        """Wait until all that was said is acknowledged."""
        await self._until(lambda: not self.unacknowledged)
