"""Masked sums that this site takes part in: a seed for each, and what the site was brought.

Whoever deletes the seed has forgotten every secret of a run. That it took part, and whether it
signed who was in the sum, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from governance import canonical
from governance.ledger.prepared import Prepared
from governance.secagg.kept import Kept
from governance.secagg.terms import Terms
from protos import codec
from protos.words import ToSite
from protos.words_masks import Delivered, MaskAsked, Peers, Survivors
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from protos.words import TaskId
    from protos.words_masks import AskedBody

_masks: Final = Table(
    "masks",
    metadata,
    Column("federation", String, primary_key=True),
    Column("task", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("terms", LargeBinary, nullable=False),
    Column("minimum_sites", Integer, nullable=False),
    Column("seed", LargeBinary),
    Column("step", String, nullable=False),
    Column("peers", LargeBinary),
    Column("delivered", LargeBinary),
    Column("survivors", LargeBinary),
    Column("sent", String, nullable=False, default=""),
)
_REMEMBERED: Final = Prepared(
    select(_masks.c.task).where(
        _masks.c.federation == bindparam("federation"), _masks.c.seed.is_not(None)
    )
)

KEYS: Final = "keys"
SHARES: Final = "shares"
DELIVERED: Final = "delivered"
SIGNED: Final = "signed"
OPENED: Final = "opened"
OVER: Final = "over"
_COLUMN: Final = {Peers: "peers", Delivered: "delivered", Survivors: "survivors"}


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run as the store has it.

    Attributes:
        terms: As they were checked.
        step: The last one that was taken, or why there is none any more.
        kept: What it is played again from, None once its secrets are forgotten.
        sent: SHA-256 of the masked vector that was made, empty for none.
    """

    terms: Terms
    step: str
    kept: Kept | None
    sent: str


def begin(c: Connection, federation: str, task: TaskId, kept: Kept) -> None:
    """Keep a new run; the secrets of those before it are forgotten."""
    terms = kept.terms
    older = (_masks.c.federation == federation, _masks.c.purpose == terms.purpose)
    c.execute(update(_masks).where(*older, _masks.c.seed.is_not(None)).values(**_FORGOTTEN))
    c.execute(
        insert(_masks).values(
            federation=federation,
            task=task,
            purpose=terms.purpose,
            round=terms.round,
            attempt=terms.attempt,
            terms=canonical.encode(terms.to_json()),
            minimum_sites=kept.minimum_sites,
            seed=kept.seed,
            step=KEYS,
        )
    )


def find(c: Connection, federation: str, task: str, *, site: str) -> Run | None:
    """Return the run of a task."""
    row = c.execute(
        select(_masks).where(_masks.c.federation == federation, _masks.c.task == task)
    ).one_or_none()
    return None if row is None else _run(row, site)


def remembered(c: Connection, federation: str) -> list[str]:
    """Return the tasks of the runs whose secrets are still here."""
    return [str(row.task) for row in _REMEMBERED.all(c, federation=federation)]


def has_signed(c: Connection, federation: str, task: str) -> bool:
    """Tell whether this site signed that its vector is in a sum, which may then be opened."""
    signed = select(_masks.c.task).where(
        _masks.c.federation == federation,
        _masks.c.task == task,
        _masks.c.survivors.is_not(None),
    )
    return c.execute(signed).first() is not None


def newest(c: Connection, federation: str, purpose: str) -> tuple[int, int]:
    """Return the newest (round, attempt) of a purpose that this site took part in."""
    row = c.execute(
        select(_masks.c.round, _masks.c.attempt)
        .where(_masks.c.federation == federation, _masks.c.purpose == purpose)
        .order_by(_masks.c.round.desc(), _masks.c.attempt.desc())
        .limit(1)
    ).one_or_none()
    return (0, 0) if row is None else (int(row.round), int(row.attempt))


def move(
    c: Connection, federation: str, task: TaskId, *, step: str, brought: AskedBody | None = None
) -> None:
    """Note the step that was taken, and what it was taken with."""
    values: dict[str, Any] = {"step": step}
    column = _COLUMN.get(type(brought)) if brought is not None else None
    if brought is not None and column is not None:
        values[column] = codec.to_site_bytes(ToSite(MaskAsked(task, brought)))
    c.execute(_of(federation, task).values(**values))


def note_sent(c: Connection, federation: str, task: TaskId, digest: str) -> None:
    """Note which masked vector was made, before a byte of it leaves."""
    c.execute(_of(federation, task).values(sent=digest))


def set_aside(c: Connection, federation: str, known: frozenset[tuple[int, int]]) -> None:
    """Forget the runs of attempts that the ledger does not know: their rounds come again."""
    rows = c.execute(
        select(_masks.c.task, _masks.c.round, _masks.c.attempt).where(
            _masks.c.federation == federation
        )
    ).all()
    gone = [row.task for row in rows if (row.round, row.attempt) not in known]
    c.execute(delete(_masks).where(_masks.c.federation == federation, _masks.c.task.in_(gone)))


def forget(c: Connection, federation: str, task: str, *, step: str = OVER) -> None:
    """Forget the secrets of a run; that it was is kept."""
    still = _masks.c.seed.is_not(None)
    c.execute(_of(federation, task).where(still).values({**_FORGOTTEN, "step": step}))


_FORGOTTEN: Final[dict[str, Any]] = {
    "seed": None,
    "peers": None,
    "delivered": None,
    "step": OVER,
}


def _of(federation: str, task: str) -> Any:  # noqa: ANN401
    return update(_masks).where(_masks.c.federation == federation, _masks.c.task == task)


def _run(row: Row[Any], site: str) -> Run:
    terms = Terms.from_bytes(bytes(row.terms))
    if row.seed is None:
        return Run(terms, row.step, None, row.sent)
    peers, delivered, survivors = (
        _asked(message) for message in (row.peers, row.delivered, row.survivors)
    )
    kept = Kept(
        terms=terms,
        site=site,
        minimum_sites=row.minimum_sites,
        seed=bytes(row.seed),
        peers=peers.keys if isinstance(peers, Peers) else (),
        delivered=delivered if isinstance(delivered, Delivered) else None,
        survivors=survivors.sites if isinstance(survivors, Survivors) else (),
    )
    return Run(terms, row.step, kept, row.sent)


def _asked(message: bytes | None) -> AskedBody | None:
    if message is None:
        return None
    body = codec.to_site_parse(message).body
    assert isinstance(body, MaskAsked)
    return body.asked
