"""Tasks with their updates, what they cost, and the control variates that they left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)

from governance.privacy.releases import TRAINING, Release
from governance.statements import timestamp
from protos import codec
from protos.words import Digest, Task, TaskKind, ToSite
from site_agent.agent import ENDS, TaskState
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

_tasks: Final = Table(
    "tasks",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=True),
    Column("federation", String, nullable=False),
    Column("task", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("rule", String, nullable=False, default=""),
    Column("update_digest", String, nullable=False, default=""),
    Column("update_size", Integer, nullable=False, default=0),
    Column("update_path", String, nullable=False, default=""),
    Column("steps", Integer, nullable=False, default=0),
    Column("lost", Integer),
    UniqueConstraint("federation", "task"),
)
"""`lost` is 1 where the ledger was recovered without this task's round."""
_reservations: Final = Table(
    "reservations",
    metadata,
    Column("federation", String, primary_key=True),
    Column("task", String, primary_key=True),
    Column("cohort", String, nullable=False),
    Column("agreement", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sampling_rate", Float, nullable=False),
    Column("noise_multiplier", Float, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("delta", Float, nullable=False),
    Column("epsilon_total", String, nullable=False),
    Column("at", String, nullable=False),
    Column("purpose", String, nullable=False),
)
_controls: Final = Table(
    "controls",
    metadata,
    Column("federation", String, primary_key=True),
    Column("agreement", String, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("path", String, nullable=False),
    Column("state", String, nullable=False),
)

PENDING: Final = "pending"
COMMITTED: Final = "committed"
DROPPED: Final = "dropped"


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


@dataclass(frozen=True, slots=True)
class Control:
    """A control variate c_i⁺ that an attempt left; `path` is relative to the state folder."""

    agreement: str
    round: int
    attempt: int
    path: str
    state: str


def offer(c: Connection, federation: str, task: Task) -> None:
    """Keep a new task."""
    c.execute(
        insert(_tasks).values(
            federation=federation,
            task=task.task,
            kind=task.kind.value,
            round=task.round,
            attempt=task.attempt,
            message=codec.to_site_bytes(ToSite(task)),
            state=TaskState.OFFERED.value,
        )
    )


def find(c: Connection, federation: str, task: str) -> Held | None:
    """Return a task by its id."""
    row = c.execute(
        select(_tasks).where(_tasks.c.federation == federation, _tasks.c.task == task)
    ).one_or_none()
    return _held(row) if row is not None else None


def move(
    c: Connection, federation: str, task: str, *, state: TaskState, rule: str = ""
) -> None:
    """Write down where a task stands; a rule only where one said no."""
    values = {"state": state.value} | ({"rule": rule} if rule else {})
    c.execute(
        update(_tasks)
        .where(_tasks.c.federation == federation, _tasks.c.task == task)
        .values(values)
    )


def keep_update(c: Connection, federation: str, task: str, made: Update) -> None:
    """Write down the update that a task has."""
    c.execute(
        update(_tasks)
        .where(_tasks.c.federation == federation, _tasks.c.task == task)
        .values(
            update_digest=made.digest,
            update_size=made.size,
            update_path=made.path,
            steps=made.steps,
        )
    )


def active(c: Connection, federation: str) -> list[Held]:
    """Return the tasks that have not ended, the oldest first."""
    rows = c.execute(
        select(_tasks)
        .where(
            _tasks.c.federation == federation,
            _tasks.c.state.not_in([state.value for state in ENDS]),
        )
        .order_by(_tasks.c.place)
    )
    return [_held(row) for row in rows]


def of_round(c: Connection, federation: str, round_: int) -> list[Held]:
    """Return the training tasks of a round, the newest attempt first."""
    rows = c.execute(
        select(_tasks)
        .where(
            _tasks.c.federation == federation,
            _tasks.c.round == round_,
            _tasks.c.kind == TaskKind.TRAIN.value,
            _tasks.c.lost.is_(None),
        )
        .order_by(_tasks.c.attempt.desc())
    )
    return [_held(row) for row in rows]


def newest(c: Connection, federation: str, *, most: int) -> list[Held]:
    """Return the last tasks, the newest first."""
    rows = c.execute(
        select(_tasks)
        .where(_tasks.c.federation == federation)
        .order_by(_tasks.c.place.desc())
        .limit(most)
    )
    return [_held(row) for row in rows]


def last_taken_part(
    c: Connection, federation: str, kind: TaskKind, *, but: str = ""
) -> tuple[int, int]:
    """Return the newest (round, attempt) for which a task of this kind passed the rules.

    `but` is a task that does not count: the one that asks.
    """
    row = c.execute(
        select(_tasks.c.round, _tasks.c.attempt)
        .where(
            _tasks.c.federation == federation,
            _tasks.c.kind == kind.value,
            _tasks.c.task != but,
            _tasks.c.state.not_in([TaskState.OFFERED.value, TaskState.REFUSED.value]),
            _tasks.c.lost.is_(None),
        )
        .order_by(_tasks.c.round.desc(), _tasks.c.attempt.desc())
        .limit(1)
    ).one_or_none()
    return (row.round, row.attempt) if row is not None else (0, 0)


def set_aside(c: Connection, federation: str, known: frozenset[tuple[int, int]]) -> None:
    """Let the tasks of attempts that the ledger does not know count for no round any more.

    Their reservations stay. Control variates that they left are forgotten.
    """
    mine = select(_tasks.c.round, _tasks.c.attempt).where(
        _tasks.c.federation == federation,
        _tasks.c.lost.is_(None),
        _tasks.c.state != TaskState.OFFERED.value,
    )
    for at in {(row.round, row.attempt) for row in c.execute(mine)} - known:
        gone = (_tasks.c.federation == federation, _tasks.c.state != TaskState.OFFERED.value)
        here = (_tasks.c.round == at[0], _tasks.c.attempt == at[1])
        c.execute(update(_tasks).where(*gone, *here).values(lost=1))
        left = (_controls.c.round == at[0], _controls.c.attempt == at[1])
        c.execute(delete(_controls).where(_controls.c.federation == federation, *left))


def reserve(c: Connection, spent: Spent, *, at: datetime) -> None:
    """Write down a reservation; there is no way to take one back."""
    c.execute(
        insert(_reservations).values(
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
    rows = c.execute(
        select(_reservations)
        .where(_reservations.c.cohort == cohort)
        .order_by(_reservations.c.at)
    )
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
    mine = (_reservations.c.federation == federation, _reservations.c.task == task)
    return c.execute(select(_reservations.c.task).where(*mine)).first() is not None


def cohorts(c: Connection) -> list[str]:
    """Return every cohort that anything was ever reserved from."""
    return sorted(c.execute(select(_reservations.c.cohort).distinct()).scalars())


def keep_control(c: Connection, federation: str, control: Control) -> None:
    """Keep a control variate of an attempt."""
    c.execute(
        insert(_controls).values(
            federation=federation,
            agreement=control.agreement,
            round=control.round,
            attempt=control.attempt,
            path=control.path,
            state=control.state,
        )
    )


def set_control(c: Connection, federation: str, control: Control, state: str) -> None:
    """Write down what became of a control variate."""
    c.execute(
        update(_controls)
        .where(
            _controls.c.federation == federation,
            _controls.c.agreement == control.agreement,
            _controls.c.round == control.round,
            _controls.c.attempt == control.attempt,
        )
        .values(state=state)
    )


def controls(c: Connection, federation: str, *, state: str) -> list[Control]:
    """Return the control variates in a state, the newest round first."""
    rows = c.execute(
        select(_controls)
        .where(_controls.c.federation == federation, _controls.c.state == state)
        .order_by(_controls.c.round.desc(), _controls.c.attempt.desc())
    )
    return [Control(row.agreement, row.round, row.attempt, row.path, row.state) for row in rows]


def control_of(
    c: Connection, federation: str, agreement: str, round_: int, attempt: int
) -> Control | None:
    """Return what one attempt left."""
    row = c.execute(
        select(_controls).where(
            _controls.c.federation == federation,
            _controls.c.agreement == agreement,
            _controls.c.round == round_,
            _controls.c.attempt == attempt,
        )
    ).one_or_none()
    if row is None:
        return None
    return Control(row.agreement, row.round, row.attempt, row.path, row.state)


def own_control(c: Connection, federation: str, agreement: str) -> Control | None:
    """Return the control variate that is the site's now under an agreement."""
    committed = controls(c, federation, state=COMMITTED)
    return next((one for one in committed if one.agreement == agreement), None)


def _held(row: Row[tuple[object, ...]]) -> Held:
    task = codec.to_site_parse(row.message).body
    assert isinstance(task, Task)
    made = None
    if row.update_digest:
        made = Update(Digest(row.update_digest), row.update_size, row.update_path, row.steps)
    return Held(task, TaskState(row.state), row.rule, made)
