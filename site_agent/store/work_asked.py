"""The tables of tasks and reservations, and what every round asks of them.

What is asked is made once: to make it anew costs more than to ask.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from governance.ledger.prepared import Prepared
from protos.words import TaskKind
from site_agent.agent import ENDS, TaskState
from site_agent.store.database import metadata

tasks: Final = Table(
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
    Index("tasks_of_state", "federation", "state"),
    Index("tasks_of_round", "federation", "round"),
)
"""`lost` is 1 where the ledger was recovered without this task's round."""
reservations: Final = Table(
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
NOTHING_MADE: Final = {
    **dict.fromkeys(("rule", "update_digest", "update_path"), ""),
    **dict.fromkeys(("update_size", "steps"), 0),
}
OFFER: Final = Prepared(
    insert(tasks),
    (
        *("federation", "task", "kind", "round", "attempt", "message", "state"),
        *NOTHING_MADE,
    ),
)
_MINE: Final = tasks.c.federation == bindparam("this_federation")
_THIS: Final = (_MINE, tasks.c.task == bindparam("this_task"))
FIND: Final = Prepared(select(tasks).where(*_THIS))
GO_ON: Final = Prepared(update(tasks).where(*_THIS), ("state",))
MOVE: Final = Prepared(update(tasks).where(*_THIS), ("state", "rule"))
KEEP: Final = Prepared(
    update(tasks).where(*_THIS), ("update_digest", "update_size", "update_path", "steps")
)
ACTIVE: Final = Prepared(
    select(tasks)
    .where(
        _MINE,
        or_(*(tasks.c.state == state.value for state in TaskState if state not in ENDS)),
    )
    .order_by(tasks.c.place)
)
OF_ROUND: Final = Prepared(
    select(tasks)
    .where(
        _MINE,
        tasks.c.round == bindparam("this_round"),
        tasks.c.kind == TaskKind.TRAIN.value,
        tasks.c.lost.is_(None),
    )
    .order_by(tasks.c.attempt.desc())
)
NEWEST: Final = Prepared(
    select(tasks).where(_MINE).order_by(tasks.c.place.desc()).limit(bindparam("most"))
)
TAKEN_PART: Final = Prepared(
    select(tasks.c.round, tasks.c.attempt)
    .where(
        _MINE,
        tasks.c.kind == bindparam("this_kind"),
        tasks.c.task != bindparam("but"),
        tasks.c.state != TaskState.OFFERED.value,
        tasks.c.state != TaskState.REFUSED.value,
        tasks.c.lost.is_(None),
    )
    .order_by(tasks.c.round.desc(), tasks.c.attempt.desc())
    .limit(1)
)
SPENT: Final = Prepared(
    select(reservations)
    .where(reservations.c.cohort == bindparam("cohort"))
    .order_by(reservations.c.at)
)
