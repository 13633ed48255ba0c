"""What a training left for later ones, if its update counts: control variate and residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    Integer,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from governance.ledger.prepared import Prepared
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

_controls: Final = Table(
    "controls",
    metadata,
    Column("federation", String, primary_key=True),
    Column("agreement", String, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("path", String, nullable=False),
    Column("residual", String, nullable=False, default=""),
    Column("state", String, nullable=False),
)

_IN_STATE: Final = Prepared(
    select(_controls)
    .where(
        _controls.c.federation == bindparam("federation"),
        _controls.c.state == bindparam("state"),
    )
    .order_by(_controls.c.round.desc(), _controls.c.attempt.desc())
)
_OF_ATTEMPT: Final = Prepared(
    select(_controls).where(
        _controls.c.federation == bindparam("federation"),
        _controls.c.agreement == bindparam("agreement"),
        _controls.c.round == bindparam("round"),
        _controls.c.attempt == bindparam("attempt"),
    )
)

PENDING: Final = "pending"
COMMITTED: Final = "committed"
DROPPED: Final = "dropped"


@dataclass(frozen=True, slots=True)
class Control:
    """What an attempt left for later, if it counts: c_i⁺, and what compression left out.

    Files relative to the state folder; empty where there is none.
    """

    agreement: str
    round: int
    attempt: int
    path: str
    state: str
    residual: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(path for path in (self.path, self.residual) if path)


def keep_control(c: Connection, federation: str, control: Control) -> None:
    """Keep a control variate of an attempt."""
    c.execute(
        insert(_controls).values(
            federation=federation,
            agreement=control.agreement,
            round=control.round,
            attempt=control.attempt,
            path=control.path,
            residual=control.residual,
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
    rows = _IN_STATE.all(c, federation=federation, state=state)
    return [_control(row) for row in rows]


def control_of(
    c: Connection, federation: str, agreement: str, round_: int, attempt: int
) -> Control | None:
    """Return what one attempt left."""
    here = {"agreement": agreement, "round": round_, "attempt": attempt}
    row = _OF_ATTEMPT.first(c, federation=federation, **here)
    return None if row is None else _control(row)


def own_control(c: Connection, federation: str, agreement: str) -> Control | None:
    """Return the control variate that is the site's now under an agreement."""
    committed = controls(c, federation, state=COMMITTED)
    return next((one for one in committed if one.agreement == agreement), None)


def forget(c: Connection, federation: str, at: tuple[int, int]) -> None:
    """Forget what the attempt of a round left, its number first."""
    left = (_controls.c.round == at[0], _controls.c.attempt == at[1])
    c.execute(delete(_controls).where(_controls.c.federation == federation, *left))


def _control(row: Any) -> Control:  # noqa: ANN401 - a row of `controls`
    place = (row.agreement, row.round, row.attempt)
    return Control(*place, row.path, row.state, row.residual)
