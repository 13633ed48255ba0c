"""The life of one attempt of a round: a table of states, and what each step of it has done.

    plain:   opened → [measuring →] training → collecting → aggregating → evaluating → committed
    masked:  opened → keys → shares → training → collecting → consistency → unmasking
             → aggregating → evaluating → committed
       any → abandoned(reason)

The table is total. Work is asynchronous, so that what was overtaken (a candidate that still
held a withdrawn update, an update after closing) may arrive late; it changes nothing. Effects
are idempotent: after a restart RESTARTED gives again those that may have been cut short.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(enum.Enum):
    """Where an attempt of a round stands."""

    OPENED = "opened"
    MEASURING = "measuring"
    KEYS = "keys"
    SHARES = "shares"
    TRAINING = "training"
    COLLECTING = "collecting"
    CONSISTENCY = "consistency"
    UNMASKING = "unmasking"
    AGGREGATING = "aggregating"
    EVALUATING = "evaluating"
    COMMITTED = "committed"
    ABANDONED = "abandoned"


ENDS: Final = frozenset({State.COMMITTED, State.ABANDONED})


class Event(enum.Enum):
    """What can happen to it."""

    STARTED = "round-opened is in the ledger"
    MASKED_STARTED = "round-opened is in the ledger, of a masked round"
    MEASURED_STARTED = "round-opened is in the ledger, of a round that asks statistics first"
    UPDATE_IN = "an update is safely in"
    SITE_OUT = "a site without an update here refused, failed or left"
    UPDATE_WITHDRAWN = "a site whose update is in withdrew"
    CLOSE = "the round may close, or a step of its masked sum"
    MASKED_CLOSE = "the masked round may close"
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
    COMBINE_STATISTICS = "combine and record the statistics that are in, and then SEND_TRAINING"
    REFUSE_UPDATE = "refuse the update that came, and delete it"
    DELETE_WITHDRAWN = "delete the update that was withdrawn"
    CANCEL_LATE = "cancel the tasks of those not in, and note them as out: late"
    BRING_KEYS = "record U1, and bring it everybody's keys"
    BRING_SHARES = "record U2, and bring each of it what the others sealed for it"
    ASK_CONSISTENCY = "record U3, and ask it to sign who is in the sum"
    ASK_SHARES = "record U4, and ask it for the shares that unmask the sum"
    RECORD_OPENED = "record U5, those that opened their shares"
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
        _E.MASKED_STARTED: Step(_S.KEYS, (_F.SEND_TRAINING,)),
        _E.MEASURED_STARTED: Step(_S.MEASURING),
        _E.UPDATE_IN: Step(_S.OPENED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.OPENED),
        _E.UPDATE_WITHDRAWN: Step(_S.OPENED),
        _E.CLOSE: Step(_S.OPENED),
        _E.MASKED_CLOSE: Step(_S.OPENED),
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
    _S.MEASURING: {
        _E.STARTED: Step(_S.MEASURING),
        _E.MASKED_STARTED: Step(_S.MEASURING),
        _E.MEASURED_STARTED: Step(_S.MEASURING),
        _E.UPDATE_IN: Step(_S.MEASURING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.MEASURING),
        _E.UPDATE_WITHDRAWN: Step(_S.MEASURING),
        _E.CLOSE: Step(_S.TRAINING, (_F.COMBINE_STATISTICS,)),
        _E.MASKED_CLOSE: Step(_S.MEASURING),
        _E.CANDIDATE_MADE: Step(_S.MEASURING),
        _E.ACCEPTED: Step(_S.MEASURING),
        _E.REJECTED: Step(_S.MEASURING),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.MEASURING),
    },
    _S.KEYS: {
        _E.STARTED: Step(_S.KEYS),
        _E.MASKED_STARTED: Step(_S.KEYS),
        _E.MEASURED_STARTED: Step(_S.KEYS),
        _E.UPDATE_IN: Step(_S.KEYS, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.KEYS),
        _E.UPDATE_WITHDRAWN: Step(_S.KEYS),
        _E.CLOSE: Step(_S.SHARES, (_F.BRING_KEYS,)),
        _E.MASKED_CLOSE: Step(_S.KEYS),
        _E.CANDIDATE_MADE: Step(_S.KEYS),
        _E.ACCEPTED: Step(_S.KEYS),
        _E.REJECTED: Step(_S.KEYS),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.KEYS),
    },
    _S.SHARES: {
        _E.STARTED: Step(_S.SHARES),
        _E.MASKED_STARTED: Step(_S.SHARES),
        _E.MEASURED_STARTED: Step(_S.SHARES),
        _E.UPDATE_IN: Step(_S.SHARES, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.SHARES),
        _E.UPDATE_WITHDRAWN: Step(_S.SHARES),
        _E.CLOSE: Step(_S.TRAINING, (_F.BRING_SHARES,)),
        _E.MASKED_CLOSE: Step(_S.SHARES),
        _E.CANDIDATE_MADE: Step(_S.SHARES),
        _E.ACCEPTED: Step(_S.SHARES),
        _E.REJECTED: Step(_S.SHARES),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.SHARES),
    },
    _S.TRAINING: {
        _E.STARTED: Step(_S.TRAINING),
        _E.MASKED_STARTED: Step(_S.TRAINING),
        _E.MEASURED_STARTED: Step(_S.TRAINING),
        _E.UPDATE_IN: Step(_S.COLLECTING),
        _E.SITE_OUT: Step(_S.TRAINING),
        _E.UPDATE_WITHDRAWN: Step(_S.TRAINING),
        _E.CLOSE: Step(_S.TRAINING),
        _E.MASKED_CLOSE: Step(_S.TRAINING),
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
        _E.MASKED_STARTED: Step(_S.COLLECTING),
        _E.MEASURED_STARTED: Step(_S.COLLECTING),
        _E.UPDATE_IN: Step(_S.COLLECTING),
        _E.SITE_OUT: Step(_S.COLLECTING),
        _E.UPDATE_WITHDRAWN: Step(_S.COLLECTING, (_F.DELETE_WITHDRAWN,)),
        _E.CLOSE: Step(_S.AGGREGATING, (_F.CANCEL_LATE, _F.AGGREGATE)),
        _E.MASKED_CLOSE: Step(_S.CONSISTENCY, (_F.CANCEL_LATE, _F.ASK_CONSISTENCY)),
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
    _S.CONSISTENCY: {
        _E.STARTED: Step(_S.CONSISTENCY),
        _E.MASKED_STARTED: Step(_S.CONSISTENCY),
        _E.MEASURED_STARTED: Step(_S.CONSISTENCY),
        _E.UPDATE_IN: Step(_S.CONSISTENCY, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.CONSISTENCY),
        _E.UPDATE_WITHDRAWN: Step(_S.CONSISTENCY),
        _E.CLOSE: Step(_S.UNMASKING, (_F.ASK_SHARES,)),
        _E.MASKED_CLOSE: Step(_S.CONSISTENCY),
        _E.CANDIDATE_MADE: Step(_S.CONSISTENCY),
        _E.ACCEPTED: Step(_S.CONSISTENCY),
        _E.REJECTED: Step(_S.CONSISTENCY),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.CONSISTENCY),
    },
    _S.UNMASKING: {
        _E.STARTED: Step(_S.UNMASKING),
        _E.MASKED_STARTED: Step(_S.UNMASKING),
        _E.MEASURED_STARTED: Step(_S.UNMASKING),
        _E.UPDATE_IN: Step(_S.UNMASKING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.UNMASKING),
        _E.UPDATE_WITHDRAWN: Step(_S.UNMASKING),
        _E.CLOSE: Step(_S.AGGREGATING, (_F.RECORD_OPENED, _F.AGGREGATE)),
        _E.MASKED_CLOSE: Step(_S.UNMASKING),
        _E.CANDIDATE_MADE: Step(_S.UNMASKING),
        _E.ACCEPTED: Step(_S.UNMASKING),
        _E.REJECTED: Step(_S.UNMASKING),
        _E.TOO_FEW: _ABANDON,
        _E.DEADLINE: _ABANDON,
        _E.CONSENT: _ABANDON,
        _E.STOPPED: _ABANDON,
        _E.INTEGRITY: _ABANDON,
        _E.RESTARTED: Step(_S.UNMASKING),
    },
    _S.AGGREGATING: {
        _E.STARTED: Step(_S.AGGREGATING),
        _E.MASKED_STARTED: Step(_S.AGGREGATING),
        _E.MEASURED_STARTED: Step(_S.AGGREGATING),
        _E.UPDATE_IN: Step(_S.AGGREGATING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.AGGREGATING),
        _E.UPDATE_WITHDRAWN: _REOPEN,
        _E.CLOSE: Step(_S.AGGREGATING),
        _E.MASKED_CLOSE: Step(_S.AGGREGATING),
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
        _E.MASKED_STARTED: Step(_S.EVALUATING),
        _E.MEASURED_STARTED: Step(_S.EVALUATING),
        _E.UPDATE_IN: Step(_S.EVALUATING, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.EVALUATING),
        _E.UPDATE_WITHDRAWN: _REOPEN,
        _E.CLOSE: Step(_S.EVALUATING),
        _E.MASKED_CLOSE: Step(_S.EVALUATING),
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
        _E.MASKED_STARTED: Step(_S.COMMITTED),
        _E.MEASURED_STARTED: Step(_S.COMMITTED),
        _E.UPDATE_IN: Step(_S.COMMITTED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.COMMITTED),
        _E.UPDATE_WITHDRAWN: Step(_S.COMMITTED),
        _E.CLOSE: Step(_S.COMMITTED),
        _E.MASKED_CLOSE: Step(_S.COMMITTED),
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
        _E.MASKED_STARTED: Step(_S.ABANDONED),
        _E.MEASURED_STARTED: Step(_S.ABANDONED),
        _E.UPDATE_IN: Step(_S.ABANDONED, (_F.REFUSE_UPDATE,)),
        _E.SITE_OUT: Step(_S.ABANDONED),
        _E.UPDATE_WITHDRAWN: Step(_S.ABANDONED),
        _E.CLOSE: Step(_S.ABANDONED),
        _E.MASKED_CLOSE: Step(_S.ABANDONED),
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
