"""The life of one attempt of a plain round: a table of states, and the policies that drive it.

    opened → training → collecting → aggregating → evaluating → committed
       any → abandoned(reason)

Pure: events go in, the next state and the effects come out, and time is a parameter. The table
is total. Work is asynchronous, so that what was overtaken (a candidate that still held a
withdrawn update, an update after closing) may arrive late; it changes nothing. Effects are
idempotent: after a restart RESTARTED gives again those that may have been cut short. Masked
rounds will put their states between opened and aggregating.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from protos.words import SiteName


class State(enum.Enum):
    """Where an attempt of a round stands."""

    OPENED = "opened"
    TRAINING = "training"
    COLLECTING = "collecting"
    AGGREGATING = "aggregating"
    EVALUATING = "evaluating"
    COMMITTED = "committed"
    ABANDONED = "abandoned"


ENDS: Final = frozenset({State.COMMITTED, State.ABANDONED})


class Event(enum.Enum):
    """What can happen to it."""

    STARTED = "round-opened is in the ledger"
    UPDATE_IN = "an update is safely in"
    SITE_OUT = "a site without an update here refused, failed or left"
    UPDATE_WITHDRAWN = "a site whose update is in withdrew"
    CLOSE = "the round may close"
    CANDIDATE_MADE = "the updates are summed"
    ACCEPTED = "the gate accepted the candidate"
    REJECTED = "the gate refused the candidate, or it is not finite"
    TOO_FEW = "too few sites are left"
    DEADLINE = "the deadline passed with too few updates"
    CONSENT = "withdrawals left too few sites"
    STOPPED = "an operator stopped the round"
    INTEGRITY = "stored bytes do not match their digest"
    RESTARTED = "the coordinator started again"


class Effect(enum.Enum):
    """What is to be done, in this order; doing it twice is doing it once."""

    SEND_TRAINING = "give the training task to every site that was asked"
    REFUSE_UPDATE = "refuse the update that came, and delete it"
    DELETE_WITHDRAWN = "delete the update that was withdrawn"
    CANCEL_LATE = "cancel the tasks of those not in, and note them as out: late"
    AGGREGATE = "sum the updates that are in"
    ASK_FIGURES = "give the evaluation task, where one is due"
    CANCEL_TASKS = "cancel every task that is not done"
    COMMIT = "make the candidate the global model, and record round-closed"
    RECORD_REJECTION = "record candidate-rejected"
    RECORD_ABANDONMENT = "record round-abandoned with its reason"
    DISCARD_CANDIDATE = "forget the candidate"
    DELETE_UPDATES = "delete every update of the attempt, and record it"
    CHECKPOINT = "sign the ledger's head and have it cosigned"


class Reason(enum.Enum):
    """Why an attempt was abandoned; what `round-abandoned` says."""

    TOO_FEW = "too-few-sites"
    DEADLINE = "deadline"
    GATE = "gate"
    CONSENT = "consent"
    STOPPED = "operator-stopped"
    INTEGRITY = "integrity"


REASONS: Final[Mapping[Event, Reason]] = {
    Event.TOO_FEW: Reason.TOO_FEW,
    Event.DEADLINE: Reason.DEADLINE,
    Event.REJECTED: Reason.GATE,
    Event.CONSENT: Reason.CONSENT,
    Event.STOPPED: Reason.STOPPED,
    Event.INTEGRITY: Reason.INTEGRITY,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: the next state, and what is to be done."""

    state: State
    effects: tuple[Effect, ...] = ()


_S: Final = State
_E: Final = Event
_F: Final = Effect

_ABANDON: Final = Step(
    _S.ABANDONED,
    (
        _F.CANCEL_TASKS,
        _F.RECORD_ABANDONMENT,
        _F.DISCARD_CANDIDATE,
        _F.DELETE_UPDATES,
        _F.CHECKPOINT,
    ),
)
_REJECT: Final = Step(_S.ABANDONED, (_F.RECORD_REJECTION, *_ABANDON.effects))
_COMMIT: Final = Step(
    _S.COMMITTED, (_F.CANCEL_TASKS, _F.COMMIT, _F.DELETE_UPDATES, _F.CHECKPOINT)
)
_REOPEN: Final = Step(
    _S.COLLECTING, (_F.DELETE_WITHDRAWN, _F.CANCEL_TASKS, _F.DISCARD_CANDIDATE)
)

_NEXT: Final[Mapping[State, Mapping[Event, Step]]] = {
    _S.OPENED: {
        _E.STARTED: Step(_S.TRAINING, (_F.SEND_TRAINING,)),
        _E.UPDATE_IN: Step(_S.OPENED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.OPENED),
        _E.UPDATE_WITHDRAWN: Step(_S.OPENED),
        _E.CLOSE: Step(_S.OPENED),
        _E.CANDIDATE_MADE: Step(_S.OPENED),
        _E.ACCEPTED: Step(_S.OPENED),
        _E.REJECTED: Step(_S.OPENED),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.OPENED),
    },
    _S.TRAINING: {
        _E.STARTED: Step(_S.TRAINING),
        _E.UPDATE_IN: Step(_S.COLLECTING),
        _E.SITE_OUT: Step(_S.TRAINING),
        _E.UPDATE_WITHDRAWN: Step(_S.TRAINING),
        _E.CLOSE: Step(_S.TRAINING),
        _E.CANDIDATE_MADE: Step(_S.TRAINING),
        _E.ACCEPTED: Step(_S.TRAINING),
        _E.REJECTED: Step(_S.TRAINING),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.TRAINING, (_F.SEND_TRAINING,)),
    },
    _S.COLLECTING: {
        _E.STARTED: Step(_S.COLLECTING),
        _E.UPDATE_IN: Step(_S.COLLECTING),
        _E.SITE_OUT: Step(_S.COLLECTING),
        _E.UPDATE_WITHDRAWN: Step(_S.COLLECTING, (_F.DELETE_WITHDRAWN,)),
        _E.CLOSE: Step(_S.AGGREGATING, (_F.CANCEL_LATE, _F.AGGREGATE)),
        _E.CANDIDATE_MADE: Step(_S.COLLECTING, (_F.DISCARD_CANDIDATE,)),
        _E.ACCEPTED: Step(_S.COLLECTING),
        _E.REJECTED: Step(_S.COLLECTING),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.COLLECTING, (_F.SEND_TRAINING,)),
    },
    _S.AGGREGATING: {
        _E.STARTED: Step(_S.AGGREGATING),
        _E.UPDATE_IN: Step(_S.AGGREGATING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.AGGREGATING),
        _E.UPDATE_WITHDRAWN: _REOPEN,
        _E.CLOSE: Step(_S.AGGREGATING),
        _E.CANDIDATE_MADE: Step(_S.EVALUATING, (_F.ASK_FIGURES,)),
        _E.ACCEPTED: Step(_S.AGGREGATING),
        _E.REJECTED: _REJECT,
        _E.TOO_FEW: Step(_S.AGGREGATING),
        _E.DEADLINE: Step(_S.AGGREGATING),
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.AGGREGATING, (_F.CANCEL_LATE, _F.AGGREGATE)),
    },
    _S.EVALUATING: {
        _E.STARTED: Step(_S.EVALUATING),
        _E.UPDATE_IN: Step(_S.EVALUATING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.EVALUATING),
        _E.UPDATE_WITHDRAWN: _REOPEN,
        _E.CLOSE: Step(_S.EVALUATING),
        _E.CANDIDATE_MADE: Step(_S.EVALUATING),
        _E.ACCEPTED: _COMMIT,
        _E.REJECTED: _REJECT,
        _E.TOO_FEW: Step(_S.EVALUATING),
        _E.DEADLINE: Step(_S.EVALUATING),
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.EVALUATING, (_F.ASK_FIGURES,)),
    },
    _S.COMMITTED: {
        _E.STARTED: Step(_S.COMMITTED),
        _E.UPDATE_IN: Step(_S.COMMITTED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.COMMITTED),
        _E.UPDATE_WITHDRAWN: Step(_S.COMMITTED),
        _E.CLOSE: Step(_S.COMMITTED),
        _E.CANDIDATE_MADE: Step(_S.COMMITTED),
        _E.ACCEPTED: Step(_S.COMMITTED),
        _E.REJECTED: Step(_S.COMMITTED),
        _E.TOO_FEW: Step(_S.COMMITTED),
        _E.DEADLINE: Step(_S.COMMITTED),
        _E.CONSENT: Step(_S.COMMITTED),
        _E.STOPPED: Step(_S.COMMITTED),
        _E.INTEGRITY: Step(_S.COMMITTED),
        _E.RESTARTED: Step(_S.COMMITTED, (_F.DELETE_UPDATES, _F.CHECKPOINT)),
    },
    _S.ABANDONED: {
        _E.STARTED: Step(_S.ABANDONED),
        _E.UPDATE_IN: Step(_S.ABANDONED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.ABANDONED),
        _E.UPDATE_WITHDRAWN: Step(_S.ABANDONED),
        _E.CLOSE: Step(_S.ABANDONED),
        _E.CANDIDATE_MADE: Step(_S.ABANDONED, (_F.DISCARD_CANDIDATE,)),
        _E.ACCEPTED: Step(_S.ABANDONED),
        _E.REJECTED: Step(_S.ABANDONED),
        _E.TOO_FEW: Step(_S.ABANDONED),
        _E.DEADLINE: Step(_S.ABANDONED),
        _E.CONSENT: Step(_S.ABANDONED),
        _E.STOPPED: Step(_S.ABANDONED),
        _E.INTEGRITY: Step(_S.ABANDONED),
        _E.RESTARTED: Step(
            _S.ABANDONED, (_F.DISCARD_CANDIDATE, _F.DELETE_UPDATES, _F.CHECKPOINT)
        ),
    },
}


def advance(state: State, event: Event) -> Step:
    """Return what follows."""
    return _NEXT[state][event]


OUT_LATE: Final = "late"
OUT_CONSENT: Final = "consent"


@dataclass(frozen=True, slots=True)
class RoundView:
    """What the policies look at; a site is in, out or waited for.

    Attributes:
        asked: The sites of `round-opened`.
        arrived: When the update of each site that is in came.
        out: Why each site that is out is: a rule's name, OUT_LATE or OUT_CONSENT (withdrawn,
            paused or revoked, its update deleted).
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


def due(state: State, view: RoundView, now: datetime) -> Event | None:
    """Return the event that the policies call for until updates are summed, or None."""
    if state not in {State.OPENED, State.TRAINING, State.COLLECTING}:
        return None
    reason = must_abandon(view, now)
    if reason is not None:
        return _ABANDONING[reason]
    return Event.CLOSE if state is State.COLLECTING and may_close(view, now) else None


_ABANDONING: Final[Mapping[Reason, Event]] = {
    reason: event for event, reason in REASONS.items()
}


def next_wakeup(view: RoundView, now: datetime) -> datetime:
    """Return when time alone changes what `due` says; `now` at the latest once it did."""
    early = _closes_early_at(view)
    moment = view.deadline if early is None else min(early, view.deadline)
    if not view.waited_for or must_abandon(view, now) is not None:
        return now
    return max(moment, now)


def _closes_early_at(view: RoundView) -> datetime | None:
    if not view.close_early_after_s or len(view.arrived) < view.close_at_least:
        return None
    enough_since = sorted(view.arrived.values())[view.close_at_least - 1]
    return enough_since + timedelta(seconds=view.close_early_after_s)


def may_judge(
    asked: frozenset[SiteName],
    answered: frozenset[SiteName],
    *,
    deadline: datetime,
    now: datetime,
) -> bool:
    """Tell whether the gate may decide: each site said figures or never will, or time is up."""
    return asked <= answered or now >= deadline


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
