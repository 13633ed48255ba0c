"""A hospital's consent to an agreement: one table of states, events and what follows.

Time ends a consent by itself: `in_force_at` says so before any entry of the ledger does.
Objected, paused and outdated consents are suspended: no task, still enrolled. Source: the
governance ledger's table «Consent and change».
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Consent(enum.Enum):
    """Where a hospital's consent to one agreement stands."""

    PROPOSED = "proposed"
    IN_FORCE = "in-force"
    OBJECTED = "objected"
    PAUSED = "paused"
    OUTDATED = "outdated"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    SUPERSEDED = "superseded"


class Event(enum.Enum):
    """What can happen to a consent; the last two come from another agreement."""

    SIGNED = "signed"
    DECLINED = "declined"
    OBJECTED = "objected to"
    PAUSED = "paused"
    RESUMED = "resumed"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    OWN_NEW_CONSENT = "superseded by the site's own new consent"
    LEFT_OUT = "left out at a material change"


SUSPENDED: Final = frozenset({Consent.OBJECTED, Consent.PAUSED, Consent.OUTDATED})
"""No task, but still enrolled."""

ENDED: Final = frozenset(
    {Consent.DECLINED, Consent.WITHDRAWN, Consent.LAPSED, Consent.SUPERSEDED}
)
"""Nothing follows: a new proposal is a new consent."""

CARRIED: Final = frozenset({Consent.IN_FORCE, Consent.OBJECTED, Consent.PAUSED})
"""What holds on, as it is, for an agreement that follows on the same material terms."""

_NEXT: Final[Mapping[tuple[Consent, Event], Consent]] = {
    (Consent.PROPOSED, Event.SIGNED): Consent.IN_FORCE,
    (Consent.PROPOSED, Event.DECLINED): Consent.DECLINED,
    (Consent.PROPOSED, Event.WITHDRAWN): Consent.DECLINED,
    (Consent.PROPOSED, Event.LAPSED): Consent.LAPSED,
    (Consent.PROPOSED, Event.LEFT_OUT): Consent.LAPSED,
    (Consent.IN_FORCE, Event.OBJECTED): Consent.OBJECTED,
    (Consent.IN_FORCE, Event.PAUSED): Consent.PAUSED,
    (Consent.IN_FORCE, Event.WITHDRAWN): Consent.WITHDRAWN,
    (Consent.IN_FORCE, Event.LAPSED): Consent.LAPSED,
    (Consent.IN_FORCE, Event.OWN_NEW_CONSENT): Consent.SUPERSEDED,
    (Consent.IN_FORCE, Event.LEFT_OUT): Consent.OUTDATED,
    (Consent.OBJECTED, Event.RESUMED): Consent.IN_FORCE,
    (Consent.OBJECTED, Event.WITHDRAWN): Consent.WITHDRAWN,
    (Consent.OBJECTED, Event.LAPSED): Consent.LAPSED,
    (Consent.OBJECTED, Event.OWN_NEW_CONSENT): Consent.SUPERSEDED,
    (Consent.OBJECTED, Event.LEFT_OUT): Consent.OUTDATED,
    (Consent.PAUSED, Event.RESUMED): Consent.IN_FORCE,
    (Consent.PAUSED, Event.WITHDRAWN): Consent.WITHDRAWN,
    (Consent.PAUSED, Event.LAPSED): Consent.LAPSED,
    (Consent.PAUSED, Event.OWN_NEW_CONSENT): Consent.SUPERSEDED,
    (Consent.PAUSED, Event.LEFT_OUT): Consent.OUTDATED,
    (Consent.OUTDATED, Event.WITHDRAWN): Consent.WITHDRAWN,
    (Consent.OUTDATED, Event.LAPSED): Consent.LAPSED,
    (Consent.OUTDATED, Event.OWN_NEW_CONSENT): Consent.SUPERSEDED,
    (Consent.OUTDATED, Event.LEFT_OUT): Consent.OUTDATED,
}
"""Every pair that is not here is refused. A resumption also needs the agreement's material
digest, which whoever reads the resumption compares before it asks."""


def advance(consent: Consent, event: Event) -> Consent:
    """Return the state that follows.

    Raises:
        Refused: the table has no such step; the rule is `consent-is-` and the present state.
    """
    try:
        return _NEXT[consent, event]
    except KeyError:
        raise Refused(
            f"a consent that is {consent.value} cannot be {event.value}",
            rule=f"consent-is-{consent.value}",
        ) from None


def in_force_at(consent: Consent, until: datetime, now: datetime) -> bool:
    """Say whether the consent permits anything at this moment; `until` itself is too late."""
    return consent is Consent.IN_FORCE and now < until


def at(consent: Consent, until: datetime, now: datetime) -> Consent:
    """Return the state that counts now: one whose time is over has lapsed, written or not."""
    return consent if consent in ENDED or now < until else Consent.LAPSED
