"""Tasks with their updates, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from governance.privacy.releases import TRAINING, Release
from governance.statements import timestamp
from protos import codec
from protos.words import Digest, Task, TaskKind, ToSite
from site_agent.agent import TaskState
from site_agent.store import carried
from site_agent.store import work_asked as asked

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Update:
    """What a training left; `path` is relative to the state folder, size in bytes."""

    digest: Digest
    size: int
    path: str
    steps: int


@dataclass(frozen=True, slots=True)
class Held:
    """A task as the store has it."""

    task: Task
    state: TaskState
    rule: str
    update: Update | None


@dataclass(frozen=True, slots=True)
class Spent:
    """One reservation; kept for ever, whatever became of its task."""

    federation: str
    task: str
    cohort: str
    agreement: str
    round: int
    attempt: int
    release: Release
    delta: float
    epsilon_total: str
    purpose: str = TRAINING


def offer(c: Connection, federation: str, task: Task) -> None:
    """Keep a new task."""
    asked.OFFER.write(
        c,
        {
            "federation": federation,
            "task": task.task,
            "kind": task.kind.value,
            "round": task.round,
            "attempt": task.attempt,
            "message": codec.to_site_bytes(ToSite(task)),
            "state": TaskState.OFFERED.value,
            **asked.NOTHING_MADE,
        },
    )


def find(c: Connection, federation: str, task: str) -> Held | None:
    """Return a task by its id."""
    row = asked.FIND.first(c, this_federation=federation, this_task=task)
    return _held(row) if row is not None else None


def move(
    c: Connection, federation: str, task: str, *, state: TaskState, rule: str = ""
) -> None:
    """Write down where a task stands; a rule only where one said no."""
    here = {"this_federation": federation, "this_task": task}
    moved = {**here, "state": state.value}
    if rule:
        asked.MOVE.write(c, {**moved, "rule": rule})
    else:
        asked.GO_ON.write(c, moved)


def keep_update(c: Connection, federation: str, task: str, made: Update) -> None:
    """Write down the update that a task has."""
    here = {"this_federation": federation, "this_task": task}
    digest, size = made.digest, made.size
    said = {"update_digest": digest, "update_size": size, "update_path": made.path}
    asked.KEEP.write(c, {**here, **said, "steps": made.steps})


def active(c: Connection, federation: str) -> list[Held]:
    """Return the tasks that have not ended, the oldest first."""
    rows = asked.ACTIVE.all(c, this_federation=federation)
    return [_held(row) for row in rows]


def of_round(c: Connection, federation: str, round_: int) -> list[Held]:
    """Return the training tasks of a round, the newest attempt first."""
    rows = asked.OF_ROUND.all(c, this_federation=federation, this_round=round_)
    return [_held(row) for row in rows]


def newest(c: Connection, federation: str, *, most: int) -> list[Held]:
    """Return the last tasks, the newest first."""
    rows = asked.NEWEST.all(c, this_federation=federation, most=most)
    return [_held(row) for row in rows]


def count_by_state(c: Connection, federation: str) -> dict[tuple[str, str], int]:
    """Return how many tasks ever came, by kind and state."""
    rows = c.execute(
        select(asked.tasks.c.kind, asked.tasks.c.state, func.count().label("number"))
        .where(asked.tasks.c.federation == federation)
        .group_by(asked.tasks.c.kind, asked.tasks.c.state)
    )
    return {(row.kind, row.state): row.number for row in rows}


def last_taken_part(
    c: Connection, federation: str, kind: TaskKind, *, but: str = ""
) -> tuple[int, int]:
    """Return the newest (round, attempt) for which a task of this kind passed the rules.

    `but` is a task that does not count: the one that asks.
    """
    row = asked.TAKEN_PART.first(c, this_federation=federation, this_kind=kind.value, but=but)
    return (row.round, row.attempt) if row is not None else (0, 0)


def set_aside(c: Connection, federation: str, known: frozenset[tuple[int, int]]) -> None:
    """Let the tasks of attempts that the ledger does not know count for no round any more.

    Their reservations stay. Control variates that they left are forgotten.
    """
    tasks = asked.tasks.c
    mine = select(tasks.round, tasks.attempt).where(
        tasks.federation == federation,
        tasks.lost.is_(None),
        tasks.state != TaskState.OFFERED.value,
    )
    for at in {(row.round, row.attempt) for row in c.execute(mine)} - known:
        gone = (tasks.federation == federation, tasks.state != TaskState.OFFERED.value)
        here = (tasks.round == at[0], tasks.attempt == at[1])
        c.execute(update(asked.tasks).where(*gone, *here).values(lost=1))
        carried.forget(c, federation, at)


def reserve(c: Connection, spent: Spent, *, at: datetime) -> None:
    """Write down a reservation; there is no way to take one back."""
    c.execute(
        insert(asked.reservations).values(
            federation=spent.federation,
            task=spent.task,
            cohort=spent.cohort,
            agreement=spent.agreement,
            round=spent.round,
            attempt=spent.attempt,
            sampling_rate=spent.release.sampling_rate,
            noise_multiplier=spent.release.noise_multiplier,
            steps=spent.release.steps,
            delta=spent.delta,
            epsilon_total=spent.epsilon_total,
            at=timestamp(at),
            purpose=spent.purpose,
        )
    )


def spent_on(c: Connection, cohort: str) -> list[Spent]:
    """Return every reservation on a cohort, over all federations and agreements."""
    rows = asked.SPENT.all(c, cohort=cohort)
    return [
        Spent(
            federation=row.federation,
            task=row.task,
            cohort=row.cohort,
            agreement=row.agreement,
            round=row.round,
            attempt=row.attempt,
            release=Release(row.sampling_rate, row.noise_multiplier, row.steps),
            delta=row.delta,
            epsilon_total=row.epsilon_total,
            purpose=row.purpose,
        )
        for row in rows
    ]


def is_reserved(c: Connection, federation: str, task: str) -> bool:
    """Tell whether a task has its reservation."""
    mine = (asked.reservations.c.federation == federation, asked.reservations.c.task == task)
    return c.execute(select(asked.reservations.c.task).where(*mine)).first() is not None


def cohorts(c: Connection) -> list[str]:
    """Return every cohort that anything was ever reserved from."""
    return sorted(c.execute(select(asked.reservations.c.cohort).distinct()).scalars())


def _held(row: Any) -> Held:  # noqa: ANN401 - a row of `tasks`
    task = codec.to_site_parse(row.message).body
    assert isinstance(task, Task)
    made = None
    if row.update_digest:
        made = Update(Digest(row.update_digest), row.update_size, row.update_path, row.steps)
    return Held(task, TaskState(row.state), row.rule, made)
