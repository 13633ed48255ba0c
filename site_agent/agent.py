"""What an agent does next: one table for a task, one for a control variate; no I/O, no clock.

A task goes from offered to an end. Each cell of the table says the state that follows and what
must be written into the store in the same transaction; `DUTIES` says what is to be done in a
state, again and again until it is left, so that a restart needs nothing but the store.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Mapping


class TaskState(enum.Enum):
    """Where a task stands at the site."""

    OFFERED = "offered"
    MASKING = "masking"
    MASKED = "masked"
    RESERVING = "reserving"
    FETCHING = "fetching"
    WORKING = "working"
    LATE = "late"
    SENDING = "sending"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(enum.Enum):
    """What can happen to a task."""

    MAY_MASK = "may join its masked sum"
    MASKS_READY = "masks are agreed on"
    MAY_TRAIN = "may train"
    MAY_RESEND = "may send again"
    MAY_EVALUATE = "may evaluate"
    MAY_MEASURE = "may evaluate, or say statistics, with noise, at a cost"
    RULED_OUT = "ruled out"
    RESERVED = "reserved"
    RESERVATION_REFUSED = "reservation refused"
    FETCHED = "fetched"
    UPDATE_READY = "update ready"
    FIGURES_READY = "figures ready"
    FAILED = "failed"
    WENT_ON = "its round went on without it, and its update may count in the next"
    SENT = "sent"
    SENDING_REFUSED = "sending refused"
    CANCELLED = "cancelled"
    REPEATED = "offered again"
    WANTED_AGAIN = "its update is asked for once more"


class Effect(enum.Enum):
    """What is written in the transaction of the step."""

    SAY_YES = "answer that the task is taken"
    SAY_NO = "answer that the task is not taken, with the rule"
    RESERVE = "journal budget-reserved"
    STATE_REFUSAL = "journal task-refused"
    STATE_FIGURES = "journal evaluation-made, or statistics-released"


class Duty(enum.Enum):
    """What the agent does as long as a task is in a state."""

    DECIDE = "check the site's own rules"
    WAIT = "wait for the coordinator"
    FETCH = "download what the task names"
    WORK = "train or evaluate"
    SEND = "upload the update"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: the next state, and what is written with it."""

    state: TaskState
    effects: tuple[Effect, ...] = ()


_YES: Final = (Effect.SAY_YES,)
_NO: Final = (Effect.SAY_NO,)
_REFUSE: Final = (Effect.SAY_NO, Effect.STATE_REFUSAL)
_S: Final = TaskState
_E: Final = Event

_NEXT: Final[Mapping[tuple[TaskState, Event], Step]] = {
    (_S.OFFERED, _E.MAY_MASK): Step(_S.MASKING, _YES),
    (_S.OFFERED, _E.MAY_TRAIN): Step(_S.RESERVING, (Effect.SAY_YES, Effect.RESERVE)),
    (_S.OFFERED, _E.MAY_RESEND): Step(_S.SENDING, _YES),
    (_S.OFFERED, _E.MAY_EVALUATE): Step(_S.FETCHING, _YES),
    (_S.OFFERED, _E.MAY_MEASURE): Step(_S.RESERVING, (Effect.SAY_YES, Effect.RESERVE)),
    (_S.OFFERED, _E.RULED_OUT): Step(_S.REFUSED, _REFUSE),
    (_S.OFFERED, _E.FAILED): Step(_S.REFUSED, _REFUSE),
    (_S.OFFERED, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.OFFERED, _E.REPEATED): Step(_S.OFFERED),
    (_S.MASKING, _E.MASKS_READY): Step(_S.MASKED),
    (_S.MASKING, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.MASKING, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.MASKING, _E.REPEATED): Step(_S.MASKING, _YES),
    (_S.MASKED, _E.MAY_TRAIN): Step(_S.RESERVING, (Effect.RESERVE,)),
    (_S.MASKED, _E.MAY_MEASURE): Step(_S.RESERVING, (Effect.RESERVE,)),
    (_S.MASKED, _E.MAY_RESEND): Step(_S.SENDING),
    (_S.MASKED, _E.RULED_OUT): Step(_S.FAILED, _REFUSE),
    (_S.MASKED, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.MASKED, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.MASKED, _E.REPEATED): Step(_S.MASKED, _YES),
    (_S.RESERVING, _E.RESERVED): Step(_S.FETCHING),
    (_S.RESERVING, _E.RESERVATION_REFUSED): Step(_S.FAILED, _REFUSE),
    (_S.RESERVING, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.RESERVING, _E.REPEATED): Step(_S.RESERVING, _YES),
    (_S.FETCHING, _E.FETCHED): Step(_S.WORKING),
    (_S.FETCHING, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.FETCHING, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.FETCHING, _E.REPEATED): Step(_S.FETCHING, _YES),
    (_S.WORKING, _E.UPDATE_READY): Step(_S.SENDING),
    (_S.WORKING, _E.FIGURES_READY): Step(_S.DONE, (Effect.STATE_FIGURES,)),
    (_S.WORKING, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.WORKING, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.WORKING, _E.REPEATED): Step(_S.WORKING, _YES),
    (_S.WORKING, _E.WENT_ON): Step(_S.LATE),
    (_S.LATE, _E.UPDATE_READY): Step(_S.CANCELLED),
    (_S.LATE, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.LATE, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.LATE, _E.REPEATED): Step(_S.LATE, _NO),
    (_S.SENDING, _E.SENT): Step(_S.DONE),
    (_S.SENDING, _E.SENDING_REFUSED): Step(_S.FAILED, _NO),
    (_S.SENDING, _E.FAILED): Step(_S.FAILED, _REFUSE),
    (_S.SENDING, _E.CANCELLED): Step(_S.CANCELLED),
    (_S.SENDING, _E.REPEATED): Step(_S.SENDING, _YES),
    (_S.DONE, _E.REPEATED): Step(_S.DONE, _YES),
    (_S.DONE, _E.WANTED_AGAIN): Step(_S.SENDING, _YES),
    (_S.REFUSED, _E.REPEATED): Step(_S.REFUSED, _NO),
    (_S.FAILED, _E.REPEATED): Step(_S.FAILED, _NO),
    (_S.CANCELLED, _E.REPEATED): Step(_S.CANCELLED, _NO),
}

DUTIES: Final[Mapping[TaskState, Duty]] = {
    _S.OFFERED: Duty.DECIDE,
    _S.MASKING: Duty.WAIT,
    _S.MASKED: Duty.DECIDE,
    _S.RESERVING: Duty.WAIT,
    _S.FETCHING: Duty.FETCH,
    _S.WORKING: Duty.WORK,
    _S.LATE: Duty.WORK,
    _S.SENDING: Duty.SEND,
    _S.DONE: Duty.NOTHING,
    _S.REFUSED: Duty.NOTHING,
    _S.FAILED: Duty.NOTHING,
    _S.CANCELLED: Duty.NOTHING,
}

ENDS: Final = frozenset(state for state, duty in DUTIES.items() if duty is Duty.NOTHING)


def advance(state: TaskState, event: Event) -> Step:
    """Return what follows; an event that comes too late for its state changes nothing.

    Work is asynchronous, so that its end may be told after a cancel: the cancel holds.
    """
    return _NEXT.get((state, event), Step(state))


class Fate(enum.Enum):
    """What becomes of a control variate that a training left behind."""

    KEEP = "it becomes the site's"
    DROP = "it never was"
    WAIT = "the ledger does not say yet"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt of a round ended, by the site's own copy of the ledger.

    `late` are those that it went on without, though they had taken its task; `made` are the
    model and the strategy's state that it closed with.
    """

    state: str
    sites_in: frozenset[str] = frozenset()
    reason: str = ""
    late: frozenset[str] = frozenset()
    made: tuple[str, str] = ("", "")


def fate_of_control(outcome: Outcome | None, *, site: str) -> Fate:
    """Tell whether c_i⁺ of an attempt counts: only when it closed with this site in it."""
    if outcome is None or outcome.state == "open":
        return Fate.WAIT
    if outcome.state == "closed" and site in outcome.sites_in:
        return Fate.KEEP
    return Fate.DROP


BEFORE_AGGREGATION: Final = frozenset({"too-few-sites", "deadline"})
"""Reasons of `round-abandoned` after which nobody has summed this site's update."""


@dataclass(frozen=True, slots=True)
class Made:
    """An update that this site made: for which inputs, in which round and attempt."""

    inputs: tuple[str, str, str]
    round: int
    attempt: int


def may_resend(made: Made, *, task: Made, outcome: Outcome | None) -> bool:
    """Tell whether a retry may send the stored, already noised update at no cost in ε.

    Only for the same round and the same agreement, model and state (`inputs`), and only when
    the ledger says that the earlier attempt ended before anything was aggregated.
    """
    return (
        made.inputs == task.inputs
        and made.round == task.round
        and made.attempt < task.attempt
        and outcome is not None
        and outcome.state == "abandoned"
        and outcome.reason in BEFORE_AGGREGATION
    )


def may_send_late(made: Made, *, task: Made, outcome: Outcome | None, site: str) -> bool:
    """Tell whether a task may send the update of the round before, at no further cost in ε.

    Only when the ledger says that this very round was closed without this site, which was
    late, under the same agreement, and that the task goes on from what it made.
    """
    agreement, *base = task.inputs
    return (
        made.inputs[0] == agreement
        and made.round == task.round - 1
        and outcome is not None
        and outcome.state == "closed"
        and site in outcome.late
        and outcome.made == tuple(base)
    )


def is_news(seq: int, *, taken: int) -> bool:
    """Tell whether a numbered message is the next one; replayed ones are dropped.

    Raises:
        PeerFault: one in between is missing.
    """
    if seq > taken + 1:
        raise PeerFault(
            f"message {seq} came after {taken}: one is missing", rule="missing-message"
        )
    return seq == taken + 1


FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 60.0


def backoff_s(failures: int, *, draw: float) -> float:
    """Return how long to wait before the next attempt to connect, in seconds.

    Full jitter: uniform below a ceiling that doubles from 0.5 s to 60 s.

    Args:
        failures: How many in a row failed before, from 0.
        draw: Uniform in [0, 1).
    """
    ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures, 16))
    return ceiling * draw
