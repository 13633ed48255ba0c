"""The words of an operator with the coordinator: acts, and where things stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protos.words import Digest, Disclosure, KeyId, SiteName


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """An operator's signed statement; `document` is the agreement of a proposal."""

    envelope: bytes
    disclosures: tuple[Disclosure, ...] = ()
    document: bytes = b""


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """What became of an act; `result` is the digest of one that waits for another operator."""

    pending: bool
    seq: int
    result: str = ""


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """Where a site stands, for eyes."""

    name: SiteName
    connected: bool
    consent: str
    doing: str
    waiting_for: str
    steps_done: int
    bytes_in: int = 0
    bytes_all: int = 0


@dataclass(frozen=True, slots=True)
class RosterKey:
    """Keys of an enrolled name: a site's officer keys, an operator's or auditor's own."""

    name: str
    role: str
    keys: tuple[KeyId, ...]


@dataclass(frozen=True, slots=True)
class PendingAct:
    """An act that waits for a second operator's signature."""

    digest: Digest
    act: str
    by: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Dissent:
    """Why a site said no to the proposal, and what it would sign instead (JSON, or empty)."""

    site: SiteName
    state: str
    reason: str
    counter: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Where the federation stands."""

    federation: str
    state: str
    agreement: str
    proposed: str
    round: int
    attempt: int
    round_state: str
    sites: tuple[SiteStatus, ...]
    enrolled: tuple[RosterKey, ...]
    pending: tuple[PendingAct, ...]
    operator_counter: int
    operator_previous: str
    ledger_size: int
    root: Digest
    rounds_committed: int
    rounds_planned: int
    document: bytes
    metric: str = ""
    quality: tuple[float, ...] = ()
    alarms: tuple[str, ...] = ()
    proposed_material: str = ""
    dissents: tuple[Dissent, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundsRequest:
    """Attempts of one round (0: of all), opened before an entry (0: the newest)."""

    round: int = 0
    before: int = 0
    most: int = 20


@dataclass(frozen=True, slots=True)
class SitePart:
    """A site's part in an attempt: in, out (with the rule), or waited for."""

    site: SiteName
    part: str
    reason: str = ""
    now: SiteStatus | None = None


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """Where one attempt of a round stands, or how it ended; times are RFC 3339, '' not yet.

    `updates` came up whole, `update_bytes` in all; also those of sites that are out since.
    `down_bytes` of models went to sites while it is at work, since the coordinator started.
    """

    round: int
    attempt: int
    agreement: Digest
    state: str
    reason: str
    opened_seq: int
    ended_seq: int
    opened_at: str
    ended_at: str
    deadline: str
    model_in: str
    model_out: str
    sites: tuple[SitePart, ...]
    updates: int = 0
    update_bytes: int = 0
    down_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RoundsReport:
    """Attempts, the newest first; `more` says that there are older ones."""

    attempts: tuple[AttemptStatus, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A committed round, and how its release is to be called."""

    round: int
    release: str


@dataclass(frozen=True, slots=True)
class ReleaseDraft:
    """What a release would say: its card and the body of its statement, canonical JSON."""

    card: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """A release by its name, and whether it stands: `published` or `recalled`.

    `leavers` are the sites whose exits wait for a decision on it.
    """

    release: str
    round: int
    agreement: Digest
    model: Digest
    state: str
    seq: int
    leavers: tuple[SiteName, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleasesReport:
    """Every release, the oldest first."""

    releases: tuple[ReleaseStatus, ...]
