"""Agreements and consents as the entries leave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance.consent import Consent, at, in_force_at
from governance.statements import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from governance.ledger.operators import Operators


@dataclass(frozen=True, slots=True)
class Terms:
    """What an officer signed: ε up to `cap` at δ, for a cohort, until a moment."""

    cohort: str
    declared_patients: int
    cap: float
    delta: float
    until: datetime
    stops_in_round: int
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A site's consent to an agreement; `terms` are None where it never consented."""

    site: str
    agreement: str
    material: str
    state: Consent
    terms: Terms | None
    given_seq: int
    changed_seq: int
    signed_seq: int

    def state_at(self, now: datetime) -> Consent:
        """Return the state that counts at a moment, whether an entry says so or not."""
        return self.state if self.terms is None else at(self.state, self.terms.until, now)

    def permits(self, now: datetime) -> bool:
        """Say whether it permits anything at a moment."""
        return self.terms is not None and in_force_at(self.state, self.terms.until, now)


@dataclass(frozen=True, slots=True)
class Agreed:
    """An agreement as far as the entries tell: its text is known by digest alone.

    `operators` are those whose acts count under it; None where its proposal states none.
    """

    digest: str
    material: str
    state: str
    changed_seq: int
    operators: Operators | None = None


def terms_of(body: Mapping[str, Any]) -> Terms:
    """Return the terms that a consent's statement carries."""
    return Terms(
        cohort=str(body["cohort"]),
        declared_patients=int(body["declared_patients"]),
        cap=float(body["cap"]),
        delta=float(body["delta"]),
        until=parse_time(str(body["until"])),
        stops_in_round=int(body["stops_in_round"]),
        purposes=tuple(body["purposes"]),
    )
