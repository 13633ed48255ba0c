"""The operators' and auditors' side of the coordinator: acts, status, and the log to read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from coordinator import releasing, sending
from coordinator.service_guard import caller
from coordinator.store import disclosing, released
from governance.ledger import store as ledger
from protos import codec
from protos.concilium.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    federation_pb2,
    operator_pb2,
    operator_pb2_grpc,
    release_pb2,
)
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from coordinator.conductor import Conductor
    from protos.words import EntriesRequest, EntryRecord

_BATCH: Final = 200
_BATCH_BYTES: Final = 1 << 20


class OperatorService(operator_pb2_grpc.OperatorServicer):
    """Take operators' signed acts and tell where the federation stands."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def Act(
        self, request: operator_pb2.OperatorAct, context: Any
    ) -> operator_pb2.OperatorActed:
        """Take one act, or keep it until a second operator approves."""
        act = codec.act_in(request)
        return codec.acted_out(await self._conductor.act(caller().name, act))

    async def Status(
        self, request: operator_pb2.StatusRequest, context: Any
    ) -> operator_pb2.StatusReport:
        """Report where the federation stands."""
        return codec.status_out(await self._conductor.status(caller().name))

    async def Rounds(
        self, request: operator_pb2.RoundsRequest, context: Any
    ) -> operator_pb2.RoundsReport:
        """Report attempts of rounds, the newest first."""
        wanted = codec.rounds_request_in(request)
        return codec.rounds_out(await self._conductor.rounds(wanted))

    async def Releases(
        self, request: release_pb2.ReleasesRequest, context: Any
    ) -> release_pb2.ReleasesReport:
        """Report every release."""
        store = self._conductor.base.store
        return codec.releases_out(await store.read(released.report))

    async def Draft(
        self, request: release_pb2.DraftRequest, context: Any
    ) -> release_pb2.ReleaseDraft:
        """Say what the release of a round would say."""
        wanted, base = codec.draft_request_in(request), self._conductor.base
        found = await base.store.read(
            lambda c: releasing.releasable(base, c, wanted.round, wanted.release)
        )
        drafted = partial(releasing.drafted, base, found, wanted.release, at=base.now())
        return codec.draft_out(await asyncio.to_thread(drafted))

    async def Download(self, request: federation_pb2.DownloadRequest, context: Any) -> None:
        """Send a released model, by digest, from an offset on; no other leaves this way."""
        wanted = codec.download_in(request)
        released_ones = self._conductor.base.store.read(
            lambda c: released.is_released(c, wanted.digest)
        )
        if not await released_ones:
            raise Refused("no release is of this model", rule="unknown-release")
        await sending.send_file(self._conductor.base, wanted, context)


class AuditService(audit_pb2_grpc.AuditServicer):
    """Show the log: entries, the latest checkpoint, proofs; read-only, and at a pace."""

    def __init__(self, conductor: Conductor) -> None:
        self._base, self._store = conductor.base, conductor.base.store

    async def Entries(self, request: audit_pb2.EntriesRequest, context: Any) -> None:
        """Send entries in order, in batches, with the disclosures that the caller may see."""
        wanted, asker = codec.entries_request_in(request), self._admitted()
        wait_s = 0.0
        for since in range(wanted.since, wanted.until, _BATCH):
            await asyncio.sleep(wait_s)  # others are answered meanwhile
            page = replace(wanted, since=since, until=min(since + _BATCH, wanted.until))
            records = await self._store.read(partial(_page, wanted=page, by=asker))
            if not records:
                return
            for batch in _batches(records):
                await context.write(codec.entry_batch_out(batch))
            wait_s = self._base.pace.send(asker, len(records), at_s=_clock_s())

    async def Checkpoint(
        self, request: audit_pb2.CheckpointRequest, context: Any
    ) -> audit_pb2.CheckpointNote:
        """Send the latest checkpoint with every cosignature known."""
        self._admitted()
        note = await self._store.read(ledger.latest_checkpoint)
        if note is None:
            raise Refused("the log has no checkpoint yet", rule="no-checkpoint")
        return codec.note_out(note)

    async def Consistency(
        self, request: audit_pb2.ConsistencyRequest, context: Any
    ) -> audit_pb2.ConsistencyProof:
        """Send the proof that a later tree extends an earlier one."""
        self._admitted()
        wanted = codec.consistency_request_in(request)
        hashes = await self._store.read(
            lambda c: ledger.consistency(c, wanted.from_size, wanted.to_size)
        )
        return codec.proof_out(tuple(hashes))

    async def Release(
        self, request: release_pb2.ReleaseRequest, context: Any
    ) -> release_pb2.ReleaseParts:
        """Send the card and the lineage of a release that stands and was witnessed."""
        self._admitted()
        wanted = codec.release_request_in(request)
        parts = await self._store.read(lambda c: releasing.parts(self._base, c, wanted.release))
        return codec.release_out(parts)

    def _admitted(self) -> str:
        """Return who asks, once its pace allows it."""
        asker = caller().actor
        self._base.pace.admit(asker, at_s=_clock_s())
        return asker


class RenewalService(audit_pb2_grpc.RenewalServicer):
    """Give an operator or auditor its next certificate."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def Renew(
        self, request: federation_pb2.CertificateRequest, context: Any
    ) -> federation_pb2.CertificateIssued:
        """Renew the caller's certificate where it is due."""
        asked = codec.certificate_request_in(request)
        given = await self._conductor.renew_member(caller(), asked)
        return codec.certificate_issued_out(given)


def _clock_s() -> float:
    return asyncio.get_running_loop().time()


def _page(c: Connection, *, wanted: EntriesRequest, by: str) -> list[EntryRecord]:
    records = ledger.entries(c, wanted.since, wanted.until, disclosed=wanted.disclosed)
    return disclosing.seen(c, records, by=by)


def _batches(records: list[EntryRecord]) -> Iterator[tuple[EntryRecord, ...]]:
    """Split entries so that no message is too large to be sent, however long they are."""
    batch: list[EntryRecord] = []
    size_bytes = 0
    for record in records:
        weight_bytes = len(record.envelope) + sum(len(d.value) * 4 for d in record.disclosures)
        size_bytes += weight_bytes
        if batch and size_bytes > _BATCH_BYTES:
            yield tuple(batch)
            batch, size_bytes = [], weight_bytes
        batch.append(record)
    yield tuple(batch)


def register(conductor: Conductor, server: Any) -> None:
    """Add the services to a (guarded) server."""
    operator_pb2_grpc.add_OperatorServicer_to_server(OperatorService(conductor), server)
    audit_pb2_grpc.add_AuditServicer_to_server(AuditService(conductor), server)
    audit_pb2_grpc.add_RenewalServicer_to_server(RenewalService(conductor), server)
