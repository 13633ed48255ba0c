"""A hospital's side of the protocol, scripted: real keys, TLS and statements, no training."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

import grpc
from site_line import PATIENCE_S, Ended, Line, channel_to, refused

from governance import statements, tensors
from governance.figures import Figures, to_json
from governance.ledger import checkpoint
from governance.statements import Chain
from protos import codec
from protos.concilium.v1 import federation_pb2_grpc
from protos.words import (
    Cancel,
    CheckpointSent,
    CosignatureSent,
    DownloadRequest,
    StatementReceipt,
    StatementSent,
    Task,
    TaskAnswer,
    TaskKind,
    UploadHeader,
    UploadRef,
)

DIGEST = hashlib.sha256(b"whatever").hexdigest()


class ScriptedSite(Line):
    """One hospital: what it says, with the place of each key's chain, and what it does."""

    def __init__(self, identity, officer, *, patients=100):
        super().__init__(identity)
        self.officer, self.patients = officer, patients
        self.agent = identity.signing_key()
        self.chains = {self.agent.key_id: Chain.START, officer.key_id: Chain.START}
        self._speech = asyncio.Lock()
        self.handed_in = None

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
            self.handed_in = statement
        return receipt

    async def hand_in_late(self, task, first):
        """Send for a task what was trained for the task of the round before."""
        late = {"base": first.model.digest, "trained_in": first.round}
        return await self.hand_in(task, small_step(self, first), **late)

    async def hand_in_again(self, task, values):
        """Send what was handed in again, as one does that heard no receipt."""
        path, blob = self.update(values)
        return await self._sent(task, blob, path.read_bytes(), self.handed_in)

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

    async def evaluate(self, task, figures=None, *, subgroups=None):
        """Say figures of a candidate, and by subgroup (a text); return the receipt."""
        await self.send(TaskAnswer(task.task, accepted=True))
        body = {**self.place(task), "model": task.model.digest, "mechanism": "exact"}
        told = (self.disclose("figures", to_json(figures or good_figures())),)
        if subgroups is not None:
            told += (self.disclose("subgroups", subgroups),)
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
    "PATIENCE_S",
    "Ended",
    "ScriptedSite",
    "channel_to",
    "good_figures",
    "refused",
    "small_step",
    "until_in",
]
