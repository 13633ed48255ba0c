"""The limit of every field of every message: a value just inside, and those just outside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
HEX: Final = "0123456789abcdef" * 4


@dataclass(frozen=True, slots=True)
class Limit:
    """What a field may be and may not be, and how many of it."""

    inside: tuple[Any, ...]
    outside: tuple[Any, ...] = ()
    count: int = 0


def whole(least: int = 0, most: int = 1 << 40) -> Limit:
    below = (least - 1,) if least else ()
    return Limit((least, most), (*below, most + 1))


def octets(least: int, most: int, *, count: int = 0) -> Limit:
    below = (bytes(least - 1),) if least else ()
    return Limit((bytes(least), bytes(most)), (*below, bytes(most + 1)), count)


def text(least: int, most: int, *, count: int = 0) -> Limit:
    below = ("é" * (least - 1),) if least else ()
    return Limit(
        ("é" * least, "é" * most, "a\n\tb"[:most]),
        (*below, "é" * (most + 1), "a\0b", "a\x1b[2Jb", "a\x7fb", "a\x9bb"),
        count,
    )


def line(most: int, *, count: int = 0) -> Limit:
    return Limit(
        ("", "é" * most), ("é" * (most + 1), "a\nb", "a\rb", "a\x1bb", "a\x85b"), count
    )


DIGEST: Final = Limit(
    (HEX,), ("", HEX[1:], HEX + "0", HEX.upper(), HEX[1:] + "g", HEX[1:] + "\n", HEX + "\n")
)
MAYBE_DIGEST: Final = Limit(("", *DIGEST.inside), DIGEST.outside[1:])
KEYS: Final = Limit(
    (f"ed25519:{HEX}", f"x509:{HEX}"),
    ("", HEX, f"rsa:{HEX}", f"ed25519:{HEX[1:]}", f"ed25519:{HEX}0", f"x509:{HEX}\n"),
    count=16,
)
NAME: Final = Limit(
    ("a", "0", "north-general", "n" * 63),
    ("", "n" * 64, "North", "-north", "north-", "north_general", "north\n", "nörth", "n/th"),
)
RULE: Final = Limit(
    ("", "r", "no-consent", "r" * 64), ("r" * 65, "No-consent", "-no", "no-", "no consent")
)
TASK: Final = Limit(("3/1/train", "t" * 200), ("", "t" * 201, "/3", "T3", "3 1", "3\n"))
MAYBE_TASK: Final = Limit(("", *TASK.inside), TASK.outside[1:])
TIME: Final = Limit(
    ("2026-11-21T10:46:00.000000Z", "2026-11-21T10:46:00Z", "0001-01-01T00:00:00Z"),
    (
        *("", "Z", "yesterday", "2026-11-21", "2026-11-21Z", "2026-W47-6T10:46:00Z"),
        *("2026-11-21T10:46:00", "2026-11-21T10:46:00+00:00", "2026-11-21T10:46:00+01:00Z"),
        *("2026-11-21T24:46:00Z", "2026-02-29T10:46:00Z", "20261121T104600Z"),
        *("2026-11-21x10:46:00Z", "2026-11-21T10:46:00Z\n", "2026-11-21T10:46Z"),
    ),
)
BEAT: Final = Limit(
    (1e-9, 20.0, 3600.0),
    (0.0, -1.0, 3600.0000001, float("nan"), float("inf"), float("-inf")),
)
FLAG: Final = Limit((False, True))
UINT32: Final = Limit((0, (1 << 32) - 1))
ENVELOPE: Final = octets(2, 64 * KIB)
DOCUMENT: Final = octets(0, MIB)
NODES: Final = octets(32, 32, count=64)
MASKED_SITES: Final = Limit((), count=100)

LIMITS: Final = {
    "FromSite.seq": whole(),
    "FromSite.ack": whole(),
    "ToSite.seq": whole(),
    "ToSite.ack": whole(),
    "BlobRef.digest": DIGEST,
    "BlobRef.size": whole(),
    "Disclosure.label": text(1, 64),
    "Disclosure.salt": octets(32, 32),
    "Disclosure.value": text(0, 64 * KIB),
    "Hello.protocol_lowest": whole(most=1000),
    "Hello.protocol_highest": whole(most=1000),
    "Hello.software": line(100),
    "Hello.models": line(200, count=64),
    "Hello.cosigned_size": whole(),
    "Hello.clock": TIME,
    "Hello.renumber": FLAG,
    "Quiet.start": TIME,
    "Quiet.end": TIME,
    "Welcome.protocol": whole(1, 1000),
    "Welcome.heartbeat_s": BEAT,
    "Welcome.message_limit_bytes": Limit((1, (1 << 32) - 1), (0,)),
    "Welcome.clock": TIME,
    "Heartbeat.task": MAYBE_TASK,
    "Heartbeat.steps_done": UINT32,
    "TaskAnswer.task": TASK,
    "TaskAnswer.accepted": FLAG,
    "TaskAnswer.rule": RULE,
    "StatementSent.envelope": ENVELOPE,
    "StatementSent.disclosures": Limit((), count=32),
    "StatementReceipt.statement": DIGEST,
    "StatementReceipt.accepted": FLAG,
    "StatementReceipt.seq": whole(),
    "StatementReceipt.rule": RULE,
    "StatementReceipt.sentence": text(0, 2000),
    "CosignatureSent.size": whole(1),
    "CosignatureSent.line": line(1000),
    "CertificateRequest.csr": octets(0, 32 * KIB),
    "CertificateRequest.proof": octets(0, 64 * KIB),
    "CertificateIssued.chain": octets(1, 32 * KIB),
    "Proposal.document": octets(2, MIB),
    "AgreementState.agreement": DIGEST,
    "AgreementState.state": RULE,
    "Task.task": TASK,
    "Task.kind": Limit((1, 2, 3), (0, 4, -1, (1 << 31) - 1)),
    "Task.round": whole(1),
    "Task.attempt": whole(1, 1000),
    "Task.agreement": DIGEST,
    "Task.deadline": TIME,
    "Task.masks": octets(0, 64 * KIB),
    "MaskSaid.task": TASK,
    "MaskAsked.task": TASK,
    "MaskKeys.site": NAME,
    "MaskKeys.mask": octets(32, 32),
    "MaskKeys.share": octets(32, 32),
    "MaskKeys.signature": octets(64, 64),
    "MaskNamed.site": NAME,
    "MaskNamed.value": octets(64, 148),
    "MaskShares.site": NAME,
    "MaskShares.shares": MASKED_SITES,
    "MaskShares.digests": MASKED_SITES,
    "MaskShares.commitment": DIGEST,
    "MaskShares.signature": octets(64, 64),
    "MaskSigned.signature": octets(64, 64),
    "MaskVector.values": octets(4, 64 * KIB),
    "MaskOpened.own_masks": MASKED_SITES,
    "MaskOpened.keys": MASKED_SITES,
    "MaskPeers.keys": MASKED_SITES,
    "MaskDelivered.shares": MASKED_SITES,
    "MaskDelivered.digests": MASKED_SITES,
    "MaskSurvivors.sites": replace(NAME, count=100),
    "MaskUnmask.survivors": replace(NAME, count=100),
    "MaskUnmask.dropped": replace(NAME, count=100),
    "MaskUnmask.signatures": MASKED_SITES,
    "Cancel.task": TASK,
    "Cancel.rule": RULE,
    "CheckpointSent.note": text(1, 64 * KIB),
    "CheckpointSent.from_size": whole(),
    "CheckpointSent.consistency": NODES,
    "CheckpointSent.predecessor": text(0, 64 * KIB),
    "FinalModel.agreement": DIGEST,
    "Goodbye.rule": RULE,
    "Goodbye.sentence": text(0, 2000),
    "DownloadRequest.digest": DIGEST,
    "DownloadRequest.offset": whole(),
    "Chunk.data": octets(1, MIB),
    "UploadRef.round": whole(1),
    "UploadRef.attempt": whole(1, 1000),
    "UploadRef.digest": DIGEST,
    "UploadRef.size": whole(1),
    "UploadOffset.offset": whole(),
    "UploadOffset.complete": FLAG,
    "UploadPart.chunk": octets(1, MIB),
    "UploadHeader.offset": whole(),
    "UploadHeader.statement": ENVELOPE,
    "Receipt.digest": DIGEST,
    "Receipt.seq": whole(),
    "EnrolRequest.secret": octets(32, 32),
    "EnrolRequest.csr": octets(1, 32 * KIB),
    "EnrolRequest.statement": ENVELOPE,
    "EnrolRequest.clock": TIME,
    "RenewalRequest.secret": octets(32, 32),
    "RenewalRequest.csr": octets(1, 32 * KIB),
    "RenewalRequest.proof": ENVELOPE,
    "RenewalRequest.certificate": octets(1, 32 * KIB),
    "RenewalRequest.clock": TIME,
    "Enrolled.chain": octets(1, 32 * KIB),
    "Enrolled.root": octets(1, 32 * KIB),
    "Enrolled.ledger_key": line(500),
    "OperatorAct.envelope": ENVELOPE,
    "OperatorAct.disclosures": Limit((), count=32),
    "OperatorAct.document": DOCUMENT,
    "OperatorActed.pending": FLAG,
    "OperatorActed.seq": whole(),
    "OperatorActed.result": text(0, 2000),
    "StatusReport.federation": line(1000),
    "StatusReport.state": line(1000),
    "StatusReport.agreement": MAYBE_DIGEST,
    "StatusReport.proposed": MAYBE_DIGEST,
    "StatusReport.round": whole(),
    "StatusReport.attempt": UINT32,
    "StatusReport.round_state": line(1000),
    "StatusReport.sites": Limit((), count=1000),
    "StatusReport.enrolled": Limit((), count=1000),
    "StatusReport.pending": Limit((), count=1000),
    "StatusReport.operator_counter": whole(),
    "StatusReport.operator_previous": DIGEST,
    "StatusReport.ledger_size": whole(),
    "StatusReport.root": DIGEST,
    "StatusReport.rounds_committed": whole(),
    "StatusReport.rounds_planned": whole(),
    "StatusReport.document": DOCUMENT,
    "StatusReport.metric": line(20),
    "StatusReport.quality": Limit((0.0, -1.0, 1e9), (math.inf, math.nan), count=100),
    "StatusReport.alarms": line(1000, count=1000),
    "StatusReport.proposed_material": MAYBE_DIGEST,
    "StatusReport.dissents": Limit((), count=1000),
    "Dissent.site": NAME,
    "Dissent.state": line(20),
    "Dissent.reason": line(1000),
    "Dissent.counter": text(0, 64 * KIB),
    "SiteStatus.name": NAME,
    "SiteStatus.connected": FLAG,
    "SiteStatus.consent": line(1000),
    "SiteStatus.doing": line(1000),
    "SiteStatus.waiting_for": line(1000),
    "SiteStatus.steps_done": UINT32,
    "SiteStatus.bytes_in": whole(),
    "SiteStatus.bytes_all": whole(),
    "RoundsRequest.round": whole(),
    "RoundsRequest.before": whole(),
    "RoundsRequest.most": whole(1, 200),
    "RoundsReport.attempts": Limit((), count=200),
    "RoundsReport.more": FLAG,
    "AttemptStatus.round": whole(),
    "AttemptStatus.attempt": UINT32,
    "AttemptStatus.agreement": DIGEST,
    "AttemptStatus.state": line(20),
    "AttemptStatus.reason": line(8000),
    "AttemptStatus.opened_seq": whole(),
    "AttemptStatus.ended_seq": whole(),
    "AttemptStatus.opened_at": line(40),
    "AttemptStatus.ended_at": line(40),
    "AttemptStatus.deadline": line(40),
    "AttemptStatus.model_in": MAYBE_DIGEST,
    "AttemptStatus.model_out": MAYBE_DIGEST,
    "AttemptStatus.sites": Limit((), count=1000),
    "AttemptStatus.updates": UINT32,
    "AttemptStatus.update_bytes": whole(),
    "AttemptStatus.down_bytes": whole(),
    "SitePart.site": NAME,
    "SitePart.part": line(20),
    "SitePart.reason": RULE,
    "RosterKey.name": NAME,
    "RosterKey.role": line(20),
    "RosterKey.keys": KEYS,
    "PendingAct.digest": DIGEST,
    "PendingAct.act": line(1000),
    "PendingAct.by": line(1000),
    "PendingAct.envelope": octets(0, 64 * KIB),
    "EntryBatch.entries": Limit((), count=1000),
    "EntryRecord.seq": whole(),
    "EntryRecord.received_at": line(40),
    "EntryRecord.envelope": ENVELOPE,
    "EntryRecord.disclosures": Limit((), count=32),
    "EntriesRequest.since": whole(),
    "EntriesRequest.until": whole(),
    "EntriesRequest.disclosed": FLAG,
    "CheckpointNote.note": text(0, 64 * KIB),
    "ConsistencyRequest.from_size": whole(),
    "ConsistencyRequest.to_size": whole(),
    "ConsistencyProof.hashes": NODES,
    "ReleaseRequest.release": NAME,
    "DraftRequest.round": whole(1),
    "DraftRequest.release": NAME,
    "ReleaseDraft.card": octets(2, MIB),
    "ReleaseDraft.body": ENVELOPE,
    "ReleaseParts.release": NAME,
    "ReleaseParts.card": octets(2, MIB),
    "ReleaseParts.agreements": octets(2, MIB, count=2),
    "ReleaseParts.entries": Limit((), count=4000),
    "ReleaseParts.checkpoint": text(0, 64 * KIB),
    "ReleasesReport.releases": Limit((), count=1000),
    "ReleaseStatus.release": NAME,
    "ReleaseStatus.round": whole(1),
    "ReleaseStatus.agreement": DIGEST,
    "ReleaseStatus.model": DIGEST,
    "ReleaseStatus.state": line(20),
    "ReleaseStatus.seq": whole(),
    "ReleaseStatus.leavers": Limit(NAME.inside, NAME.outside, count=1000),
    "ProvenEntry.seq": whole(),
    "ProvenEntry.received_at": line(40),
    "ProvenEntry.envelope": ENVELOPE,
    "ProvenEntry.inclusion": NODES,
}
"""By message and field; a field of the .proto files without a row fails every test below."""
