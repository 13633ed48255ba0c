"""A hospital's side of the protocol, scripted: real keys, TLS and statements, no training.

It keeps what a site's store would keep (the place of each key's chain, what it said and was not
acknowledged, what it took) in memory, so that a test can cut the line anywhere and come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from governance.identity.tls import pin_tls13

pin_tls13()

import grpc  # noqa: E402 - after the cipher list is set
import pytest  # noqa: E402

from governance import statements, tensors  # noqa: E402
from governance.figures import Figures, to_json  # noqa: E402
from governance.ledger import checkpoint  # noqa: E402
from governance.statements import Chain  # noqa: E402
from protos import codec  # noqa: E402
from protos.concilium.v1 import federation_pb2_grpc  # noqa: E402
from protos.words import (  # noqa: E402
    BlobRef,
    Cancel,
    CheckpointSent,
    CosignatureSent,
    DownloadRequest,
    FromSite,
    Goodbye,
    Heartbeat,
    Hello,
    StatementReceipt,
    StatementSent,
    Task,
    TaskAnswer,
    TaskKind,
    UploadHeader,
    UploadRef,
    Welcome,
)

PATIENCE_S = 20
OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]
DIGEST = hashlib.sha256(b"whatever").hexdigest()


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


def good_figures(share=0.9, *, count=100):
    """Figures in which this share of `count` patients is on the right side."""
    right = round(count * share)
    half = count // 2
    bins = (0,) * 50
    positives = (*bins[:40], half, *bins[41:])
    negatives = (*bins[:10], count - half, *bins[11:])
    return Figures(
        "binary",
        positives=positives,
        negatives=negatives,
        correct=right,
        log_loss_sum=10.0,
        squared_error_sum=10.0,
        count=count,
    )


class ScriptedSite:
    """One hospital; every wait ends after `PATIENCE_S` and then says what had come."""

    def __init__(self, identity, officer, *, patients=100):
        self.identity, self.officer, self.patients = identity, officer, patients
        self.agent = identity.signing_key()
        self.chains = {self.agent.key_id: Chain.START, officer.key_id: Chain.START}
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
        self._speech = asyncio.Lock()
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
            "clock": datetime.now(UTC),
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
                await self._write(call, FromSite(Heartbeat(), ack=self.taken))
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
        await self._write(self._call, FromSite(Heartbeat(task, steps_done), ack=self.taken))

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

    async def acknowledged(self):
        """Wait until all that was said is acknowledged."""
        await self._until(lambda: not self.unacknowledged)

    # --- statements ----------------------------------------------------------------------

    def compose(self, kind, body, *, key=None, told=(), **changes):
        """Sign the next statement of a key's chain, without sending it."""
        key = key or self.agent
        words = {
            "actor": self.identity.actor,
            "key": key.key_id,
            "chain": self.chains[key.key_id],
            "log": self.identity.log,
            "at": datetime.now(UTC),
            "disclosures": told,
        }
        payload = statements.compose(kind, body, **{**words, **changes})
        return statements.read(statements.sign(payload, [key]))

    def said(self, statement):
        """Note that a statement is in the ledger."""
        self.chains[statement.key] = statement.chain

    async def say(self, kind, body, *, key=None, told=(), **changes):
        """Say it over the session and return its receipt."""
        async with self._speech:
            statement = self.compose(kind, body, key=key, told=told, **changes)
            await self.send(StatementSent(statement.envelope, tuple(told)))
            receipt = await self.next_receipt(statement)
            if receipt.accepted:
                self.said(statement)
            return receipt

    async def next_receipt(self, statement):
        return await self.next(StatementReceipt, statement=statement.digest)

    async def must_say(self, kind, body, **how):
        receipt = await self.say(kind, body, **how)
        assert receipt.accepted, receipt
        return receipt

    def disclose(self, label, value):
        return statements.disclose(label, value, salt=secrets.token_bytes(32))

    async def consent(self, document, **terms):
        body = {
            "agreement": document.digest,
            "material": document.material,
            "review": DIGEST,
            "purposes": list(document.agreement.purpose),
            "basis": {"jurisdiction": "NL", "irb": "", "permit": "", "dpa": ""},
            "until": "2099-01-01T00:00:00.000000Z",
            "declared_patients": self.patients,
            "cap": "inf" if document.agreement.privacy is None else "8",
            "delta": "0.00001",
            "stops_in_round": 0,
            "cohort": "all",
        }
        told = (self.disclose("officer", "A. Officer"), self.disclose("role", "director"))
        return await self.must_say(
            "consent-given", {**body, **terms}, key=self.officer, told=told
        )

    async def withdraw(self, document, *, key=None):
        return await self.must_say(
            "consent-withdrawn", {"agreement": document.digest}, key=key or self.officer
        )

    async def pause(self, document, *, key=None):
        return await self.must_say(
            "consent-suspended", {"agreement": document.digest}, key=key or self.officer
        )

    async def resume(self, document):
        body = {"agreement": document.digest, "material": document.material}
        return await self.must_say("consent-resumed", body, key=self.officer)

    # --- work ----------------------------------------------------------------------------

    @staticmethod
    def place(task):
        return {"agreement": task.agreement, "round": task.round, "attempt": task.attempt}

    async def accept(self, task, *, reserve=True):
        """Take a task, and reserve for it as a training does."""
        await self.send(TaskAnswer(task.task, accepted=True))
        if reserve:
            return await self.reserve(task)
        return None

    def reservation(self, task, **changes):
        return {
            **self.place(task),
            "task": task.task,
            "cohort": "all",
            "sampling_rate": "1",
            "noise_multiplier": "0",
            "clip": "0",
            "expected_batch": "10",
            "steps": 1,
            "delta": "0.00001",
            "loader": "poisson",
            "unit": "patient",
            "epsilon_total": "inf",
            **changes,
        }

    async def reserve(self, task, **changes):
        return await self.must_say("budget-reserved", self.reservation(task, **changes))

    async def refuse(self, task, rule="policy"):
        body = {**self.place(task), "task": task.task, "refusal": rule}
        await self.must_say("task-refused", body)
        await self.send(TaskAnswer(task.task, accepted=False, rule=rule))

    def update(self, values):
        """Write an update's tensors; return where it lies and what it is."""
        folder = self.identity.folder / "work"
        blob = tensors.write(values, folder)
        return tensors.path_of(folder, blob.digest), blob

    def contribution(self, task, blob, **changes):
        body = {
            **self.place(task),
            "base": task.model.digest,
            "update": blob.digest,
            "size": blob.size,
            "steps": 1,
            "loader": "poisson",
            "unit": "patient",
            "epsilon": "inf",
            "worker": DIGEST,
            "declared_patients": self.patients,
        }
        return self.compose("contribution-made", {**body, **changes})

    async def contribute(self, task, values, **changes):
        """Accept, reserve and send an update of these values; return its receipt."""
        await self.accept(task)
        return await self.hand_in(task, values, **changes)

    async def hand_in(self, task, values, **changes):
        path, blob = self.update(values)
        async with self._speech:
            statement = self.contribution(task, blob, **changes)
            receipt = await self._sent(task, blob, path.read_bytes(), statement)
            self.said(statement)
        return receipt

    async def _sent(self, task, blob, data, statement):
        """Upload from where the coordinator has it; a site that persists tries again."""
        offset = 0
        while True:
            try:
                return await self.upload(task, blob, data, statement, offset=offset)
            except grpc.aio.AioRpcError as error:
                if not self.comes_back or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            with contextlib.suppress(grpc.aio.AioRpcError):
                offset = (await self.upload_offset(task, blob)).offset

    @contextlib.asynccontextmanager
    async def calls(self):
        """Where transfers go, as a stub: the session's channel, or one for this alone."""
        if self._channel is not None and not self.comes_back:
            yield federation_pb2_grpc.FederationStub(self._channel)
            return
        async with channel_to(self.identity) as channel:
            yield federation_pb2_grpc.FederationStub(channel)

    def reference(self, task, blob):
        return UploadRef(task.round, task.attempt, blob.digest, blob.size)

    async def upload(self, task, blob, data, statement, *, offset=0, pauses=None):
        """Send bytes from an offset on; returns the receipt or raises AioRpcError.

        `pauses` are two events: the first is set when half is on its way, and the rest waits
        for the second.
        """
        header = UploadHeader(self.reference(task, blob), offset, statement.envelope)

        async def parts():
            yield codec.upload_part_out(header)
            middle = (offset + len(data)) // 2 if pauses else offset
            if pauses:
                yield codec.upload_part_out(data[offset:middle])
                pauses[0].set()
                await pauses[1].wait()
            for start in range(middle, len(data), codec.CHUNK_BYTES):
                yield codec.upload_part_out(data[start : start + codec.CHUNK_BYTES])

        async with self.calls() as stub:
            receipt = await stub.Upload(parts(), wait_for_ready=True, timeout=PATIENCE_S)
        return codec.receipt_in(receipt)

    async def upload_offset(self, task, blob):
        async with self.calls() as stub:
            asked = codec.upload_ref_out(self.reference(task, blob))
            return codec.upload_offset_in(await stub.UploadStatus(asked, wait_for_ready=True))

    async def download(self, blob, *, offset=0):
        async with self.calls() as stub:
            wanted = codec.download_out(DownloadRequest(blob.digest, offset))
            parts = [codec.chunk_in(m) async for m in stub.Download(wanted)]
        return b"".join(parts)

    async def model(self, blob):
        """Download a model and read it."""
        data = await self.download(blob)
        assert hashlib.sha256(data).hexdigest() == blob.digest
        assert len(data) == blob.size
        folder = self.identity.folder / "models"
        folder.mkdir(exist_ok=True)
        path = tensors.path_of(folder, blob.digest)
        path.write_bytes(data)
        return tensors.load(path)

    async def evaluate(self, task, figures=None):
        """Say figures of a candidate; return the receipt."""
        await self.send(TaskAnswer(task.task, accepted=True))
        body = {**self.place(task), "model": task.model.digest, "mechanism": "exact"}
        told = (self.disclose("figures", to_json(figures or good_figures())),)
        return await self.say("evaluation-made", body, told=told)

    async def cosign(self, sent):
        head = checkpoint.parse_body(sent.note.partition("\n\n")[0] + "\n")
        line = checkpoint.cosign(
            sent.note, site=self.name, key=self.agent, at=datetime.now(UTC)
        )
        await self.send(CosignatureSent(head.size, line))
        return head.size

    def works(self, values=None, *, figures=None):
        """Do every task from now on: train to `values(task)`, evaluate, cosign."""
        self._works.append(asyncio.create_task(self._work(values or small_step, figures)))

    async def _work(self, values, figures):
        while True:
            await self._until(
                lambda: any(isinstance(m, Task | CheckpointSent) for m in self.inbox)
            )
            body = next(m for m in self.inbox if isinstance(m, Task | CheckpointSent))
            self.inbox.remove(body)
            if any(
                isinstance(m, Cancel) and m.task == getattr(body, "task", "")
                for m in self.inbox
            ):
                continue
            if isinstance(body, CheckpointSent):
                await self.cosign(body)
            elif body.kind is TaskKind.TRAIN:
                await self.contribute(body, values(self, body))
            else:
                await self.evaluate(body, figures(self, body) if figures else None)


def small_step(site, task, *, scale=0.01):
    """An update that differs by site and round."""
    import numpy as np

    seed = int.from_bytes(
        hashlib.sha256(f"{site.name}/{task.round}/{task.attempt}".encode()).digest()[:4]
    )
    draws = np.random.default_rng(seed)
    return {
        "y/linear.weight": (scale * draws.standard_normal((1, 2))).astype(np.float32),
        "y/linear.bias": (scale * draws.standard_normal(1)).astype(np.float32),
    }


def until_in(seconds):
    return statements.timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


__all__ = [
    "BlobRef",
    "Ended",
    "ScriptedSite",
    "channel_to",
    "good_figures",
    "refused",
    "small_step",
]
