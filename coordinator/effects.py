"""What each effect of a round does to the database, in the transaction of the event.

`rounds` decides, this carries out. What cannot be part of a transaction (summing updates,
deleting files) is kept as chores that the conductor does after the commit; a restart does
them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from coordinator import faults, gate, heads, judging, mask_steps, masked_figures, measuring
from coordinator.round_states import REASONS, Effect, Event, Reason, State
from coordinator.rounds import GATE_REFUSALS_IN_A_ROW, Next, after_abandonment
from coordinator.store import kept, outbox, pausing, record, recovered, roundbook
from coordinator.store.roundbook import Asked, Running
from governance.counts import count
from governance.ledger import abandoned
from protos.words import Cancel, Task, TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.agreement.load import Document
    from protos.words import Digest, SiteName


@dataclass(slots=True)
class Chores:
    """What the conductor does after the commit; attempts are (round, attempt)."""

    aggregate: bool = False
    attempts_over: set[tuple[int, int]] = field(default_factory=set)
    updates_withdrawn: set[tuple[SiteName, int, int]] = field(default_factory=set)


@dataclass(slots=True)
class Turn:
    """One event on the round at work, inside one transaction."""

    base: Foundation
    connection: Connection
    running: Running
    document: Document
    event: Event
    now: datetime
    verdict: gate.Verdict | None = None
    chores: Chores = field(default_factory=Chores)

    @property
    def at(self) -> tuple[int, int]:
        """The round and the attempt."""
        return self.running.round, self.running.attempt


def carry_out(turn: Turn, effect: Effect) -> None:
    """Do what an effect means."""
    _EFFECTS[effect](turn)


def _nothing(turn: Turn) -> None:
    """Do nothing: it is done elsewhere.

    The upload path refuses. Tasks wait in the outbox until they are taken. What a site that
    withdrew has sent is deleted after every event, and the record says so at the end.
    """


def _cancel(turn: Turn, asked: Asked, reason: str) -> None:
    outbox.send(turn.connection, asked.site, Cancel(asked.task, reason))
    roundbook.mark(turn.connection, asked, "cancelled", reason)


def _cancel_late(turn: Turn) -> None:
    for asked in turn.running.training.values():
        if asked.is_waited_for:
            _cancel(turn, asked, asked.why_out)


def _cancel_tasks(turn: Turn) -> None:
    every = (turn.running.training, turn.running.evaluating, turn.running.measuring)
    for asked in (one for tasks in every for one in tasks.values()):
        if asked.is_waited_for:
            in_vain = turn.event is Event.DEADLINE
            _cancel(turn, asked, asked.why_out if in_vain else "round-over")


def _combine_statistics(turn: Turn) -> None:
    measuring.combine(turn.base, turn.connection, turn.running, turn.document, turn.now)


def _aggregate(turn: Turn) -> None:
    turn.chores.aggregate = True


def _ask_figures(turn: Turn) -> None:
    running, document = turn.running, turn.document
    assert running.candidate is not None
    masked = document.agreement.figures_masked
    if masked and running.evaluating:
        return  # each step of their sum has a time of its own
    deadline = turn.now + timedelta(seconds=document.agreement.round.deadline)
    roundbook.move(turn.connection, State.EVALUATING.value, deadline=deadline)
    if running.evaluating or not document.agreement.figures_due(running.round):
        return
    if masked:
        masked_figures.ask(turn, judging.judges(turn))
        return
    for site in judging.judges(turn):
        what = f"evaluate/{running.candidate.digest[:12]}"
        task = recovered.task_of(turn.connection, turn.base.federation, turn.at, what)
        asked = Asked(site, task, TaskKind.EVALUATE, "sent", "")
        roundbook.ask(turn.connection, asked, turn.at)
        outbox.send(
            turn.connection,
            site,
            Task(
                task,
                TaskKind.EVALUATE,
                *turn.at,
                document.digest,
                running.candidate,
                None,
                deadline,
            ),
        )


def _commit(turn: Turn) -> None:
    running = turn.running
    assert running.candidate is not None
    turn.base.chronicle.say(
        turn.connection,
        "round-closed",
        {
            **_place(turn),
            "model_in": running.model.digest,
            "model_out": running.candidate.digest,
            "state_in": running.strategy_state.digest if running.strategy_state else "",
            "state_out": running.candidate_state.digest if running.candidate_state else "",
            **_who(turn),
        },
        now=turn.now,
    )
    kept.set_blob_note(turn.connection, "model", running.candidate)
    kept.set_blob_note(turn.connection, "state", running.candidate_state)
    _remember(turn)


def _remember(turn: Turn) -> None:
    """Keep what later candidates are compared with, and the figures that `stop` looks at."""
    if turn.verdict is None or turn.verdict.candidate is None:
        return
    assert turn.running.candidate is not None
    judged = f"{turn.at[0]} {turn.at[1]} {turn.running.candidate.digest}"
    kept.set_note(turn.connection, "judged", judged)
    history = kept.history(turn.connection)
    kept.set_history(turn.connection, [*history, turn.verdict.candidate])


def _record_rejection(turn: Turn) -> None:
    if turn.running.candidate is None or turn.verdict is None:
        return
    turn.base.chronicle.say(
        turn.connection,
        "candidate-rejected",
        {
            **_place(turn),
            "model": turn.running.candidate.digest,
            "refusal": turn.verdict.rule,
        },
        now=turn.now,
        disclosures=[turn.base.disclose("figures", turn.verdict.told())],
    )


def _record_abandonment(turn: Turn) -> None:
    reason = REASONS[turn.event]
    why = {"reason": reason.value, **faults.of(turn)}
    turn.base.chronicle.say(
        turn.connection,
        "round-abandoned",
        {**_place(turn), **why, **_who(turn)},
        now=turn.now,
    )
    refusals = record.gate_refusals_in_a_row(turn.connection)
    after = after_abandonment(
        reason,
        attempt=turn.running.attempt,
        attempts=turn.document.agreement.round.attempts,
        gate_refusals=refusals,
    )
    if after is Next.PAUSE:
        pausing.pause(turn.connection, _why_paused(turn, reason, refusals, why))


def _why_paused(turn: Turn, reason: Reason, refusals: int, said: Mapping[str, Any]) -> str:
    round_, attempts = turn.at
    if reason is Reason.STOPPED:
        return f"an operator stopped round {round_}, attempt {attempts}"
    why = f"round {round_} was abandoned {count(attempts, 'time')}"
    if refusals >= GATE_REFUSALS_IN_A_ROW:
        why = "the gate refused three candidates in a row"
    return f"{why}; the last reason: {abandoned.in_words(said)}"


def _discard_candidate(turn: Turn) -> None:
    roundbook.candidate(turn.connection, None, None)
    roundbook.forget_evaluations(turn.connection, turn.at)


def _delete_updates(turn: Turn) -> None:
    updates = record.updates(turn.connection, *turn.at)
    if updates:
        turn.base.chronicle.say(
            turn.connection,
            "updates-deleted",
            {**_place(turn), "updates": sorted(set(updates.values()))},
            now=turn.now,
        )
    turn.chores.attempts_over.add(turn.at)
    mask_steps.forget(turn)


def _checkpoint(turn: Turn) -> None:
    heads.publish(turn.base, turn.connection)


_EFFECTS: Final[Mapping[Effect, Callable[[Turn], None]]] = {
    Effect.SEND_TRAINING: _nothing,
    Effect.COMBINE_STATISTICS: _combine_statistics,
    Effect.REFUSE_UPDATE: _nothing,
    Effect.DELETE_WITHDRAWN: _nothing,
    Effect.CANCEL_LATE: _cancel_late,
    Effect.BRING_KEYS: mask_steps.bring_keys,
    Effect.BRING_SHARES: mask_steps.bring_shares,
    Effect.ASK_CONSISTENCY: mask_steps.ask_consistency,
    Effect.ASK_SHARES: mask_steps.ask_shares,
    Effect.RECORD_OPENED: mask_steps.record_opened,
    Effect.AGGREGATE: _aggregate,
    Effect.ASK_FIGURES: _ask_figures,
    Effect.CANCEL_TASKS: _cancel_tasks,
    Effect.COMMIT: _commit,
    Effect.RECORD_REJECTION: _record_rejection,
    Effect.RECORD_ABANDONMENT: _record_abandonment,
    Effect.DISCARD_CANDIDATE: _discard_candidate,
    Effect.DELETE_UPDATES: _delete_updates,
    Effect.CHECKPOINT: _checkpoint,
}


def _place(turn: Turn) -> dict[str, Digest | int]:
    return {
        "agreement": turn.running.agreement,
        "round": turn.running.round,
        "attempt": turn.running.attempt,
    }


def _who(turn: Turn) -> dict[str, object]:
    now = roundbook.running(turn.connection)
    known = now if now is not None else turn.running
    training = known.training
    if not training:  # nobody was given a task to train: none is in
        out = {s: a.reason or "round-over" for s, a in known.measuring.items()}
        return {"sites_in": [], "sites_out": out}
    return {
        "sites_in": sorted(s for s, a in training.items() if a.state == "in"),
        "sites_out": {s: a.reason or a.state for s, a in training.items() if a.state != "in"},
    }
