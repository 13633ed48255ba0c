"""A hospital's exit: the states it passes through, and what its contribution has touched.

    requested → quiesced → (credentials revoked) → cleaned → listed → training settled →
    releases settled → closed

Pure and total: `due` names the one step that follows in a state, `advance` refuses any other.
An exit from one agreement leaves the hospital enrolled, so that no credential ends. A removal
for cause is an exit like one by own wish, but for who asks for it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Scope(enum.Enum):
    """What a hospital goes out of."""

    AGREEMENT = "agreement"
    FEDERATION = "federation"


class Exit(enum.Enum):
    """Where an exit stands."""

    REQUESTED = "requested"
    QUIESCED = "quiesced"
    BARRED = "credentials-revoked"
    CLEANED = "cleaned"
    LISTED = "impact-listed"
    TRAINING_SETTLED = "training-settled"
    RELEASES_SETTLED = "releases-settled"
    CLOSED = "closed"


class Step(enum.Enum):
    """What is done next; what `exit-step` says, and CLOSE what `exit-closed` says."""

    QUIESCE = "quiesced"
    BAR = "credentials-revoked"
    CLEAN = "cleaned"
    LIST = "impact-listed"
    SETTLE_TRAINING = "training-settled"
    SETTLE_RELEASES = "releases-settled"
    CLOSE = "closed"


WORDS: Final[Mapping[Step, str]] = {
    Step.QUIESCE: "it is out of the round at work, if one was, and asked for nothing more",
    Step.BAR: "its certificates and keys count no more",
    Step.CLEAN: "what it sent and what remembered it is deleted or mended",
    Step.LIST: "the rounds and releases whose models its patients have shaped are named",
    Step.SETTLE_TRAINING: "training goes on as the agreement says",
    Step.SETTLE_RELEASES: "each of these releases is kept, with a ground, or recalled",
    Step.CLOSE: "nothing is due any more",
}
"""What each step means, for eyes."""

_FROM_AGREEMENT: Final[Mapping[Exit, Mapping[Step, Exit]]] = {
    Exit.REQUESTED: {Step.QUIESCE: Exit.QUIESCED},
    Exit.QUIESCED: {Step.CLEAN: Exit.CLEANED},
    Exit.BARRED: {},
    Exit.CLEANED: {Step.LIST: Exit.LISTED},
    Exit.LISTED: {Step.SETTLE_TRAINING: Exit.TRAINING_SETTLED},
    Exit.TRAINING_SETTLED: {Step.SETTLE_RELEASES: Exit.RELEASES_SETTLED},
    Exit.RELEASES_SETTLED: {Step.CLOSE: Exit.CLOSED},
    Exit.CLOSED: {},
}
_NEXT: Final[Mapping[Scope, Mapping[Exit, Mapping[Step, Exit]]]] = {
    Scope.AGREEMENT: _FROM_AGREEMENT,
    Scope.FEDERATION: {
        **_FROM_AGREEMENT,
        Exit.QUIESCED: {Step.BAR: Exit.BARRED},
        Exit.BARRED: {Step.CLEAN: Exit.CLEANED},
    },
}


def due(scope: Scope, state: Exit) -> Step | None:
    """Return the one step that follows, None at the end."""
    return next(iter(_NEXT[scope][state]), None)


def still_due(scope: Scope, state: Exit) -> list[Step]:
    """Return every step that is still to come, in order."""
    steps: list[Step] = []
    while (step := due(scope, state)) is not None:
        steps.append(step)
        state = advance(scope, state, step)
    return steps


def advance(scope: Scope, state: Exit, step: Step) -> Exit:
    """Return the state that follows.

    Raises:
        Refused: this step is not the one that is due.
    """
    try:
        return _NEXT[scope][state][step]
    except KeyError:
        raise Refused(
            f"an exit that is {state.value} is not {step.value} next", rule="exit-order"
        ) from None


class Decision(enum.Enum):
    """What a step decided; the words of `exit-step`."""

    NOTHING = ""
    NO_ROUND = "no-round"
    DROPPED_OUT = "dropped-out"
    CONTROL_RESTARTED = "control-restarted"
    CONTINUE = "continue"
    RETRAIN = "retrain-from-before"
    KEEP = "keep"
    RECALL = "recall"


ALLOWED: Final[Mapping[Step, frozenset[Decision]]] = {
    Step.QUIESCE: frozenset({Decision.NO_ROUND, Decision.DROPPED_OUT}),
    Step.BAR: frozenset({Decision.NOTHING}),
    Step.CLEAN: frozenset({Decision.NOTHING, Decision.CONTROL_RESTARTED}),
    Step.LIST: frozenset({Decision.NOTHING}),
    Step.SETTLE_TRAINING: frozenset({Decision.NOTHING, Decision.CONTINUE, Decision.RETRAIN}),
    Step.SETTLE_RELEASES: frozenset({Decision.NOTHING, Decision.KEEP, Decision.RECALL}),
}
"""Which decisions a step may say; NOTHING where there was nothing to decide."""

BY_ITSELF: Final = Decision.RECALL
"""What the coordinator may decide of a release without an operator: it never keeps one."""
MOVES_BASE: Final = frozenset({Decision.CONTROL_RESTARTED, Decision.RETRAIN})
"""The decisions after which the next round starts from the model and state that they name."""


def settled(decided: Iterable[Decision]) -> Decision:
    """Return what an exit's releases come to, once each of them is decided.

    Raises:
        Refused: one of them is not.
    """
    every = set(decided)
    if Decision.NOTHING in every:
        raise Refused(
            "a release that the exit lists is neither kept nor recalled",
            rule="release-undecided",
        )
    if not every:
        return Decision.NOTHING
    return Decision.RECALL if Decision.RECALL in every else Decision.KEEP


@dataclass(frozen=True, slots=True)
class Closed:
    """A committed round: what it made of what, with whom; undone when an exit went back."""

    round: int
    model_in: str
    state_in: str
    model_out: str
    sites: frozenset[str]
    undone: bool = False


def touched(rounds: Iterable[Closed], site: str) -> list[Closed]:
    """Return the rounds whose model a site shaped, directly or through an earlier one.

    Args:
        rounds: Every committed round, in the order of their closing.
        site: Whose contributions are followed.
    """
    shaped: dict[str, bool] = {}
    found = []
    for one in rounds:
        inside = site in one.sites or shaped.get(one.model_in, False)
        shaped[one.model_out] = inside
        if inside:
            found.append(one)
    return found


def going_back(rounds: Iterable[Closed], site: str) -> list[Closed]:
    """Return the rounds to undo so that a site is in no model, in order.

    What follows starts from the model and state that the first of them started from. Rounds
    that an earlier exit has undone are out of this already.
    """
    return touched((one for one in rounds if not one.undone), site)


def rounds_of(
    step: Step, decision: Decision, rounds: Sequence[Closed], site: str, *, newest: int | None
) -> list[int]:
    """Return the rounds that a step must name; `newest` is the round that was opened last."""
    if step is Step.LIST:
        return [one.round for one in touched(rounds, site)]
    if decision is Decision.RETRAIN:
        return [one.round for one in going_back(rounds, site)]
    if decision is Decision.DROPPED_OUT and newest is not None:
        return [newest]
    return []


def bases(decision: Decision, rounds: Sequence[Closed], site: str) -> set[tuple[str, str]]:
    """Return the models, each with a state, that a decision may move the base to.

    It goes back to where the first round with the site in started from, else it stays at the
    last model; a state may always begin anew.
    """
    if decision is Decision.RETRAIN:
        before = going_back(rounds, site)[:1]
        return {(one.model_in, state) for one in before for state in ("", one.state_in)}
    last = [one.model_out for one in rounds if not one.undone][-1:]
    return {(model, "") for model in last}
