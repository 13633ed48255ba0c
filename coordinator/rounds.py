"""When an attempt of a round goes on: the policies that drive the table of its states.

Pure: time is a parameter. A masked round has four more steps, and each goes on as a round
closes: when everybody did it, or enough did and the time for stragglers is over.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from coordinator.round_states import REASONS, Event, Reason, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from protos.words import SiteName

OUT_CONSENT: Final = "consent"


@dataclass(frozen=True, slots=True)
class RoundView:
    """What the policies look at; a site is in, out or waited for.

    In a step of a masked sum a site is in once it took the step; while statistics are asked,
    once its own are in.

    Attributes:
        asked: The sites of `round-opened`, or those of a masked sum's step.
        arrived: When the update of each site that is in came.
        out: Why each site that is out is: a rule's name, `late`, `no-answer` or OUT_CONSENT
            (withdrawn, paused or revoked, its update deleted).
        masked: Whether the updates are masked.
        close_at_least: Updates without which the round does not close, ≥ 1.
        deadline: When waiting ends, whoever still works.
        close_early_after_s: How long stragglers are waited for once `close_at_least` are in;
            0 waits until the deadline.
    """

    asked: frozenset[SiteName]
    close_at_least: int
    deadline: datetime
    close_early_after_s: int = 0
    arrived: Mapping[SiteName, datetime] = field(default_factory=dict)
    out: Mapping[SiteName, str] = field(default_factory=dict)
    masked: bool = False

    @property
    def waited_for(self) -> frozenset[SiteName]:
        """Those of whom nothing final is known."""
        return self.asked - self.arrived.keys() - self.out.keys()


def may_close(view: RoundView, now: datetime) -> bool:
    """Tell whether the updates that are in are to be summed now."""
    if len(view.arrived) < view.close_at_least:
        return False
    early = _closes_early_at(view)
    return not view.waited_for or now >= view.deadline or (early is not None and now >= early)


def must_abandon(view: RoundView, now: datetime) -> Reason | None:
    """Tell whether the attempt cannot succeed any more, and why; never when it may close.

    Once it was closed this can only be CONSENT, so that the other reasons mean that nothing
    was summed.
    """
    if len(view.arrived) >= view.close_at_least:
        return None
    left = len(view.arrived) + len(view.waited_for)
    if left < view.close_at_least:
        withdrawn = sum(reason == OUT_CONSENT for reason in view.out.values())
        return Reason.CONSENT if left + withdrawn >= view.close_at_least else Reason.TOO_FEW
    return Reason.DEADLINE if now >= view.deadline else None


WAITING: Final = frozenset(
    {
        State.OPENED,
        State.MEASURING,
        State.KEYS,
        State.SHARES,
        State.TRAINING,
        State.COLLECTING,
        State.CONSISTENCY,
        State.UNMASKING,
    }
)
"""The states in which sites are waited for; those of figures apart."""
_NOTHING_IN: Final = frozenset({State.OPENED, State.TRAINING})


def due(state: State, view: RoundView, now: datetime) -> Event | None:
    """Return the event that the policies call for until updates are summed, or None."""
    if state not in WAITING:
        return None
    reason = must_abandon(view, now)
    if reason is not None:
        return _ABANDONING[reason]
    if state in _NOTHING_IN or not may_close(view, now):
        return None
    masked = view.masked and state is State.COLLECTING
    return Event.MASKED_CLOSE if masked else Event.CLOSE


_ABANDONING: Final[Mapping[Reason, Event]] = {
    reason: event for event, reason in REASONS.items()
}


def next_wakeup(view: RoundView, now: datetime) -> datetime:
    """Return when time alone changes what `due` says; `now` at the latest once it did."""
    moment = waits_until(view)
    if not view.waited_for or must_abandon(view, now) is not None:
        return now
    return max(moment, now)


def _closes_early_at(view: RoundView) -> datetime | None:
    if not view.close_early_after_s or len(view.arrived) < view.close_at_least:
        return None
    enough_since = sorted(view.arrived.values())[view.close_at_least - 1]
    return enough_since + timedelta(seconds=view.close_early_after_s)


def may_judge(view: RoundView, now: datetime) -> bool:
    """Tell whether the gate may decide: on figures it waits as on updates, but for too few."""
    return not view.waited_for or now >= waits_until(view)


def waits_until(view: RoundView) -> datetime:
    """Return when waiting ends, as far as is known now."""
    early = _closes_early_at(view)
    return view.deadline if early is None else min(early, view.deadline)


class Next(enum.Enum):
    """What follows an abandoned attempt."""

    RETRY = "the same round again, as the next attempt"
    PAUSE = "the federation pauses until an operator acts"


GATE_REFUSALS_IN_A_ROW: Final = 3


def after_abandonment(
    reason: Reason, *, attempt: int, attempts: int, gate_refusals: int = 0
) -> Next:
    """Return what follows; `gate_refusals` counts those in a row, with this one."""
    if reason in {Reason.STOPPED, Reason.INTEGRITY}:
        return Next.PAUSE
    if attempt >= attempts or gate_refusals >= GATE_REFUSALS_IN_A_ROW:
        return Next.PAUSE
    return Next.RETRY
