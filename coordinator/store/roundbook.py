"""The round at work, as the database knows it: what a restart goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from coordinator.store.schema import running as table
from coordinator.store.schema import tasks
from governance.ledger.prepared import Prepared
from governance.statements import parse_time, timestamp
from governance.stragglers import why_out
from protos.words import BlobRef, Digest, SiteName, TaskId, TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

_RUNNING: Final = Prepared(select(table), kept=True)
_BEGIN: Final = Prepared(insert(table), [column.name for column in table.columns])
_MOVE: Final = Prepared(update(table), ("state",))
_EXTEND: Final = Prepared(update(table), ("deadline",))
_CANDIDATE: Final = Prepared(
    update(table), ("candidate", "candidate_size", "candidate_state", "candidate_state_size")
)
_END: Final = Prepared(delete(table))
_ASKED: Final = Prepared(
    select(tasks)
    .where(tasks.c.round == bindparam("round"), tasks.c.attempt == bindparam("attempt"))
    .order_by(tasks.c.site),
    kept=True,
)
_FORGET: Final = Prepared(
    delete(tasks).where(
        tasks.c.round == bindparam("round"),
        tasks.c.attempt == bindparam("attempt"),
        tasks.c.kind == bindparam("kind"),
    )
)
_GIVEN: Final = Prepared(
    select(tasks).where(
        tasks.c.site == bindparam("site"),
        tasks.c.round == bindparam("round"),
        tasks.c.attempt == bindparam("attempt"),
    )
)
_FIND: Final = Prepared(
    select(tasks).where(tasks.c.task == bindparam("task"), tasks.c.site == bindparam("site"))
)
_ASK: Final = Prepared(insert(tasks), [column.name for column in tasks.columns])
_MARK: Final = Prepared(
    update(tasks).where(
        tasks.c.task == bindparam("this_task"), tasks.c.site == bindparam("this_site")
    ),
    ("state", "reason"),
)
"""Made once, as every message of a site asks and writes them."""


ASKED_AGAIN: Final = "asked-again"
"""Of an update that is in: it is spoilt here, and its site is asked for it once more."""
SENT_AGAIN: Final = "sent-again"
"""Of one that is in and came a second time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One site's task: state is sent, accepted, refused, in, or withdrawn; reason a rule."""

    site: SiteName
    task: TaskId
    kind: TaskKind
    state: str
    reason: str

    @property
    def is_waited_for(self) -> bool:
        """Whether nothing final is known of it."""
        return self.state in {"sent", "accepted"}

    @property
    def is_asked_again(self) -> bool:
        """Whether its update is in by the ledger, and is not here."""
        return (self.state, self.reason) == ("in", ASKED_AGAIN)

    @property
    def why_out(self) -> str:
        """Why its site is out once it is waited for no more."""
        return why_out(took_it=self.state == "accepted")


@dataclass(frozen=True, slots=True)
class Running:
    """The round at work; `state` is a state of coordinator.rounds by its value."""

    round: int
    attempt: int
    agreement: Digest
    state: str
    model: BlobRef
    strategy_state: BlobRef | None
    candidate: BlobRef | None
    candidate_state: BlobRef | None
    opened_at: datetime
    deadline: datetime
    training: Mapping[SiteName, Asked]
    evaluating: Mapping[SiteName, Asked]
    measuring: Mapping[SiteName, Asked]


def running(connection: Connection) -> Running | None:
    """Return the round at work, if one is."""
    row = _RUNNING.first(connection)
    if row is None:
        return None
    asked = _asked(connection, row.round, row.attempt)
    return Running(
        round=row.round,
        attempt=row.attempt,
        agreement=Digest(row.agreement),
        state=row.state,
        model=BlobRef(Digest(row.model), row.model_size),
        strategy_state=_blob(row.strategy_state, row.strategy_state_size),
        candidate=_blob(row.candidate, row.candidate_size),
        candidate_state=_blob(row.candidate_state, row.candidate_state_size),
        opened_at=parse_time(row.opened_at),
        deadline=parse_time(row.deadline),
        training={a.site: a for a in asked if a.kind is TaskKind.TRAIN},
        evaluating={a.site: a for a in asked if a.kind is TaskKind.EVALUATE},
        measuring={a.site: a for a in asked if a.kind is TaskKind.MEASURE},
    )


def _blob(digest: str, size: int) -> BlobRef | None:
    return BlobRef(Digest(digest), size) if digest else None


def _asked(connection: Connection, round_: int, attempt: int) -> list[Asked]:
    rows = _ASKED.all(connection, round=round_, attempt=attempt)
    return [_of_row(row) for row in rows]


def _of_row(row: Any) -> Asked:  # noqa: ANN401 - a row of `tasks`
    return Asked(
        SiteName(row.site), TaskId(row.task), TaskKind(row.kind), row.state, row.reason
    )


def begin(
    connection: Connection,
    at: tuple[int, int],
    agreement: Digest,
    *,
    files: tuple[BlobRef, BlobRef | None],
    times: tuple[datetime, datetime],
) -> None:
    """Write down a round that opens: place, model and state, opening and deadline."""
    model, state = files
    _BEGIN.write(
        connection,
        {
            "one": 1,
            "round": at[0],
            "attempt": at[1],
            "agreement": agreement,
            "state": "training",
            "model": model.digest,
            "model_size": model.size,
            "strategy_state": state.digest if state else "",
            "strategy_state_size": state.size if state else 0,
            **_candidate(None, None),
            "opened_at": timestamp(times[0]),
            "deadline": timestamp(times[1]),
        },
    )


def ask(connection: Connection, asked: Asked, at: tuple[int, int]) -> None:
    """Write down a task that is sent."""
    _ASK.write(
        connection,
        {
            "task": asked.task,
            "site": asked.site,
            "kind": asked.kind.value,
            "round": at[0],
            "attempt": at[1],
            "state": asked.state,
            "reason": asked.reason,
        },
    )


def move(connection: Connection, state: str, *, deadline: datetime | None = None) -> None:
    """Note the round's state, and a new deadline with it."""
    _MOVE.write(connection, {"state": state})
    if deadline is not None:
        _EXTEND.write(connection, {"deadline": timestamp(deadline)})


def candidate(connection: Connection, model: BlobRef | None, state: BlobRef | None) -> None:
    """Note the candidate that aggregation made, or that there is none any more."""
    _CANDIDATE.write(connection, _candidate(model, state))


def _candidate(model: BlobRef | None, state: BlobRef | None) -> dict[str, object]:
    return {
        "candidate": model.digest if model else "",
        "candidate_size": model.size if model else 0,
        "candidate_state": state.digest if state else "",
        "candidate_state_size": state.size if state else 0,
    }


def forget_evaluations(connection: Connection, at: tuple[int, int]) -> None:
    """Forget the evaluations that were asked for a candidate that is no more."""
    evaluations = {"round": at[0], "attempt": at[1], "kind": TaskKind.EVALUATE.value}
    _FORGET.write(connection, evaluations)


def end(connection: Connection) -> None:
    """Forget the round at work: it is closed or abandoned."""
    _END.write(connection, {})


def task_of(connection: Connection, site: SiteName, round_: int, attempt: int) -> Asked | None:
    """Return a task that a site was given in an attempt."""
    row = _GIVEN.first(connection, site=site, round=round_, attempt=attempt)
    return _of_row(row) if row is not None else None


def mark(connection: Connection, asked: Asked, state: str, reason: str = "") -> None:
    """Note what became of a task."""
    here = {"this_task": asked.task, "this_site": asked.site}
    _MARK.write(connection, {**here, "state": state, "reason": reason})


def find(connection: Connection, site: SiteName, task: TaskId) -> Asked | None:
    """Return a site's task by its id."""
    row = _FIND.first(connection, task=task, site=site)
    return _of_row(row) if row is not None else None
