"""The words that both sides speak, as frozen types that cannot be wrong.

`codec` makes them from messages and checks every limit there; inside nobody checks again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from protos.words_masks import MaskAsked, MaskSaid

if TYPE_CHECKING:
    from datetime import datetime

SiteName = NewType("SiteName", str)
Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hexadecimal digits."""
KeyId = NewType("KeyId", str)
"""`ed25519:` and the public key in 64 hexadecimal digits, or `x509:` and an SPKI's SHA-256."""
TaskId = NewType("TaskId", str)


class TaskKind(enum.Enum):
    """What a site is asked to do."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A file named by its SHA-256; size in bytes."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The value behind a commitment that an entry carries; salt is 32 bytes."""

    label: str
    salt: bytes
    value: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """A site's quiet hours, those that last or the next: from `start` on and before `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a site; models are names such as `builtin:linear`.

    `renumber` asks to count messages from one again, after the site's store was recovered.
    """

    protocol_lowest: int
    protocol_highest: int
    software: str
    models: tuple[str, ...]
    cosigned_size: int
    clock: datetime
    quiet: Quiet | None = None
    renumber: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """The coordinator's answer to a hello."""

    protocol: int
    heartbeat_s: float
    message_limit_bytes: int
    clock: datetime


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Alive, and how far the task at work is; never replayed."""

    task: str = ""
    steps_done: int = 0
    quiet: Quiet | None = None


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """A site took a task, or says which of its rules refuses it."""

    task: TaskId
    accepted: bool
    rule: str = ""


@dataclass(frozen=True, slots=True)
class StatementSent:
    """A signed statement (DSSE envelope bytes) with what its commitments stand for."""

    envelope: bytes
    disclosures: tuple[Disclosure, ...] = ()


@dataclass(frozen=True, slots=True)
class StatementReceipt:
    """What became of a statement: its place in the ledger, or the rule that refused it.

    `statement` is the SHA-256 of the payload bytes.
    """

    statement: Digest
    accepted: bool
    seq: int = 0
    rule: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class CosignatureSent:
    """A signature line of a signed note over the checkpoint of this size."""

    size: int
    line: str


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A new TLS key's CSR (DER), and a DSSE envelope by the agent key over its digest."""

    csr: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class CertificateIssued:
    """PEM certificates, leaf first."""

    chain: bytes


@dataclass(frozen=True, slots=True)
class Proposal:
    """The canonical bytes of an agreement that the site is asked to consent to."""

    document: bytes


@dataclass(frozen=True, slots=True)
class AgreementState:
    """What the coordinator says an agreement is now: `proposed`, `in-force`, `complete`, …"""

    agreement: Digest
    state: str


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a round; everything not named here follows from the agreement itself.

    `masks` are the terms of the masked sum that the task's update, or its figures, go into, as
    canonical JSON; empty for none.
    """

    task: TaskId
    kind: TaskKind
    round: int
    attempt: int
    agreement: Digest
    model: BlobRef
    state: BlobRef | None
    deadline: datetime
    masks: bytes = b""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this task; the rule says why."""

    task: TaskId
    rule: str


@dataclass(frozen=True, slots=True)
class CheckpointSent:
    """A new head of the log, the proof that it extends `from_size`, and its predecessor.

    `note` is a signed note; `predecessor` the one before with its cosignatures, or empty.
    """

    note: str
    from_size: int
    consistency: tuple[bytes, ...]
    predecessor: str


@dataclass(frozen=True, slots=True)
class FinalModel:
    """The agreement is complete, and this is its model."""

    agreement: Digest
    model: BlobRef


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last message of a session, with the rule and a sentence for people."""

    rule: str
    sentence: str


FromSiteBody = (
    Hello
    | Heartbeat
    | TaskAnswer
    | StatementSent
    | CosignatureSent
    | CertificateRequest
    | MaskSaid
)
ToSiteBody = (
    Welcome
    | Heartbeat
    | Proposal
    | AgreementState
    | Task
    | Cancel
    | StatementReceipt
    | CheckpointSent
    | CertificateIssued
    | FinalModel
    | Goodbye
    | MaskAsked
)


@dataclass(frozen=True, slots=True)
class FromSite:
    """A session's message; `seq` 0 is never replayed, `ack` is the other side's last taken."""

    body: FromSiteBody
    seq: int = 0
    ack: int = 0


@dataclass(frozen=True, slots=True)
class ToSite:
    """A session's message; `seq` 0 is never replayed, `ack` is the other side's last taken."""

    body: ToSiteBody
    seq: int = 0
    ack: int = 0


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """A file from a byte offset on."""

    digest: Digest
    offset: int


@dataclass(frozen=True, slots=True)
class UploadRef:
    """A transfer is bound to round, attempt, digest and size; the site is the certificate's."""

    round: int
    attempt: int
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class UploadOffset:
    """From which byte to go on, and whether all of it is there."""

    offset: int
    complete: bool


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """The first part of an upload; `statement` is `contribution-made` as a DSSE envelope."""

    upload: UploadRef
    offset: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """An update that is safely on the coordinator's disk and in the ledger at `seq`."""

    digest: Digest
    seq: int


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A newcomer's token secret, CSR (DER) and signed `enrolled` statement."""

    secret: bytes
    csr: bytes
    statement: bytes
    clock: datetime


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """A site's CSR (DER) in place of a certificate (PEM) that has ended, and who signed for it.

    `proof` is a DSSE envelope by the former TLS key, the agent's and an officer's.
    """

    secret: bytes
    csr: bytes
    proof: bytes
    certificate: bytes
    clock: datetime


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The newcomer's certificates (PEM, leaf first), the root's (PEM) and the log's vkey."""

    chain: bytes
    root: bytes
    ledger_key: str


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry of the log as stored, with the disclosures that the caller may see."""

    seq: int
    received_at: str
    envelope: bytes
    disclosures: tuple[Disclosure, ...] = ()


@dataclass(frozen=True, slots=True)
class EntriesRequest:
    """Entries with since <= seq < until; `disclosed` with what the caller may see of them."""

    since: int
    until: int
    disclosed: bool = False


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry with the proof that it is in the tree of a checkpoint; hashes of 32 bytes."""

    seq: int
    received_at: str
    envelope: bytes
    inclusion: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReleaseParts:
    """All of a release but its model; `card` and `agreements` are canonical JSON."""

    release: str
    model: BlobRef
    card: bytes
    agreements: tuple[bytes, ...]
    entries: tuple[ProvenEntry, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A release by its name."""

    release: str


@dataclass(frozen=True, slots=True)
class ConsistencyRequest:
    """A proof that the tree of `to_size` extends the one of `from_size`."""

    from_size: int
    to_size: int
