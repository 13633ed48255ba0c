"""A task's step: the table decides, and what it says is written in the same transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from governance import noised, normalisation, statements, subgroups
from governance.agreement.load import parse
from governance.consent import Consent
from governance.ledger.project_statistics import RELEASED
from governance.noised import Noised
from protos.words import TaskAnswer, TaskKind
from site_agent import agent, masked_figures, voice
from site_agent.agent import Effect, Event, TaskState
from site_agent.standing import standing_of
from site_agent.store import journal, letters, masks, terms, work
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from protos.words import Disclosure, Task
    from site_agent.jobs import Evaluated
    from site_agent.membership import Membership
    from site_agent.store.work import Held, Spent

_log = structlog.get_logger("task")

_LOST: Final = frozenset({TaskState.REFUSED, TaskState.FAILED, TaskState.CANCELLED})
"""The ends of a task after which this site takes no further step of its masked sum."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a step has to say beside its event: a rule that said no, what to journal.

    `why` is for local eyes and never leaves.
    """

    rule: str = ""
    why: str = ""
    reservation: Spent | None = None
    reserved: Mapping[str, Any] | None = None
    evaluated: Evaluated | None = None
    measured: Disclosure | None = None


def happen(c: Connection, m: Membership, held: Held, event: Event, told: Told) -> TaskState:
    """Let an event happen to a task, write all that follows; return its new state."""
    step = agent.advance(held.state, event)
    rule = told.rule or held.rule
    for effect in step.effects:
        _EFFECTS[effect](c, m, held.task, told)
    if told.rule and step.state is not held.state:
        _log.warning("task-ended", task=held.task.task, rule=told.rule, why=told.why)
    if step.state in _LOST:
        masks.forget(c, m.federation, held.task.task)
    if step.state is not held.state:
        work.move(c, m.federation, held.task.task, state=step.state, rule=rule)
    return step.state


def cancel(c: Connection, m: Membership, held: Held, rule: str) -> None:
    """Cancel a task; a contribution that is on its way no longer counts as said."""
    before = held.state
    state = happen(c, m, held, Event.CANCELLED, Told(rule=rule))
    if before is TaskState.SENDING and state is TaskState.CANCELLED:
        drop_contribution(c, m, held.task, rule)


def drop_contribution(c: Connection, m: Membership, task: Task, rule: str) -> None:
    """Give up the contribution of a task that is not in the ledger."""
    said = journal.of_task(c, m.federation, task.task, kind="contribution-made")
    if said is not None and said.status == journal.FLYING:
        voice.give_up(c, m.voice, said.statement.digest, rule=rule)


def cancel_without_consent(c: Connection, m: Membership) -> None:
    """Cancel each task that was taken and whose consent is not in force any more."""
    for held in work.active(c, m.federation):
        if held.state is TaskState.OFFERED:
            continue
        standing = standing_of(c, m.federation, held.task.agreement)
        if standing.at(m.now()) is not Consent.IN_FORCE:
            cancel(c, m, held, "no-consent")
    _forget_without_consent(c, m)


def _forget_without_consent(c: Connection, m: Membership) -> None:
    """Forget the secrets of masked sums under a consent that is over, in whatever step.

    A task that is done is cancelled no more, and its sum may not have been opened yet.
    """
    for task in masks.remembered(c, m.federation):
        held = work.find(c, m.federation, task)
        if held is None:
            continue
        if (
            standing_of(c, m.federation, held.task.agreement).at(m.now())
            is not Consent.IN_FORCE
        ):
            masks.forget(c, m.federation, task)


def cancel_of_agreement(c: Connection, m: Membership, agreement: str, rule: str) -> None:
    """Cancel every task under an agreement."""
    for held in work.active(c, m.federation):
        if held.task.agreement == agreement:
            cancel(c, m, held, rule)


def place_of(task: Task) -> dict[str, Any]:
    """Return what every statement about a task says of it."""
    return {"agreement": task.agreement, "round": task.round, "attempt": task.attempt}


def _say_yes(c: Connection, m: Membership, task: Task, _told: Told) -> None:
    answer = TaskAnswer(task.task, accepted=True)
    letters.send(c, m.federation, answer, rule="task-taken")


def _say_no(c: Connection, m: Membership, task: Task, told: Told) -> None:
    held = work.find(c, m.federation, task.task)
    rule = told.rule or (held.rule if held is not None else "") or "refused"
    answer = TaskAnswer(task.task, accepted=False, rule=rule)
    letters.send(c, m.federation, answer, rule="task-refused")


def _reserve(c: Connection, m: Membership, task: Task, told: Told) -> None:
    assert told.reservation is not None
    assert told.reserved is not None
    work.reserve(c, told.reservation, at=m.now())
    body = {**place_of(task), "task": task.task, **told.reserved}
    voice.say(c, m.voice, Saying("budget-reserved", body, "budget", task=task.task))


def _state_refusal(c: Connection, m: Membership, task: Task, told: Told) -> None:
    body = {**place_of(task), "task": task.task, "refusal": told.rule or "refused"}
    voice.say(c, m.voice, Saying("task-refused", body, "task-refused", task=task.task))


def _state_figures(c: Connection, m: Membership, task: Task, told: Told) -> None:
    if task.kind is TaskKind.MEASURE:
        _state_statistics(c, m, task, told)
        return
    assert told.evaluated is not None
    figures = told.evaluated.figures
    has_noise = isinstance(figures, Noised)
    mechanism = noised.MECHANISM if has_noise else "exact"
    body = {**place_of(task), "model": task.model.digest, "mechanism": mechanism}
    if task.masks and isinstance(figures, Noised):
        body |= masked_figures.send(c, m, task, figures)
        said = Saying("evaluation-made", body, masked_figures.RULE, task=task.task)
        voice.say(c, m.voice, said)
        return
    values = {"figures": told.evaluated.told}
    if told.evaluated.subgroups:
        values[subgroups.LABEL] = told.evaluated.subgroups
    disclosed = tuple(
        statements.disclose(label, value, salt=secrets.token_bytes(32))
        for label, value in values.items()
    )
    rule = "metrics-noised" if has_noise else "metrics-exact"
    saying = Saying("evaluation-made", body, rule, disclosed, task.task)
    voice.say(c, m.voice, saying)


def _state_statistics(c: Connection, m: Membership, task: Task, told: Told) -> None:
    assert told.measured is not None
    offered = terms.find(c, m.federation, task.agreement)
    assert offered is not None
    basis = normalisation.basis_of(parse(offered.document).agreement)
    body = {**place_of(task), "basis": basis, "mechanism": normalisation.MECHANISM}
    saying = Saying(RELEASED, body, "statistics", (told.measured,), task.task)
    voice.say(c, m.voice, saying)


_EFFECTS: Final[Mapping[Effect, Callable[[Connection, Membership, Task, Told], None]]] = {
    Effect.SAY_YES: _say_yes,
    Effect.SAY_NO: _say_no,
    Effect.RESERVE: _reserve,
    Effect.STATE_REFUSAL: _state_refusal,
    Effect.STATE_FIGURES: _state_figures,
}
