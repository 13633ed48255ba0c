"""The words in which an operator asks for attempts of rounds, and is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protos.words import Digest, SiteName, SiteStatus


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
    """Where one attempt of a round stands, or how it ended; times are RFC 3339, '' not yet."""

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


@dataclass(frozen=True, slots=True)
class RoundsReport:
    """Attempts, the newest first; `more` says that there are older ones."""

    attempts: tuple[AttemptStatus, ...]
    more: bool
