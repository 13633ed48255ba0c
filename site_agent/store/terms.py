"""The agreements that this site was asked to consent to, and the coordinator's word on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from governance.ledger.prepared import Prepared
from governance.statements import parse_time, timestamp
from protos.words import Digest
from site_agent.store.database import metadata

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_agreements: Final = Table(
    "agreements",
    metadata,
    Column("federation", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("material", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("received_at", String, nullable=False),
)
_MINE: Final = _agreements.c.federation == bindparam("federation")
_FIND: Final = Prepared(
    select(_agreements).where(_MINE, _agreements.c.digest == bindparam("digest"))
)
_EVERY: Final = Prepared(select(_agreements).where(_MINE).order_by(_agreements.c.received_at))


@dataclass(frozen=True, slots=True)
class Offered:
    """An agreement as it was received; `state` is the coordinator's word, not a proof."""

    digest: Digest
    material: Digest
    document: bytes
    state: str
    received_at: datetime


def keep(c: Connection, federation: str, offered: Offered) -> None:
    """Keep an agreement; one that was received before is received anew."""
    c.execute(
        delete(_agreements).where(
            _agreements.c.federation == federation, _agreements.c.digest == offered.digest
        )
    )
    c.execute(
        insert(_agreements).values(
            federation=federation,
            digest=offered.digest,
            material=offered.material,
            document=offered.document,
            state=offered.state,
            received_at=timestamp(offered.received_at),
        )
    )


def set_state(c: Connection, federation: str, digest: str, state: str) -> None:
    """Write down what the coordinator says an agreement is now."""
    c.execute(
        update(_agreements)
        .where(_agreements.c.federation == federation, _agreements.c.digest == digest)
        .values(state=state)
    )


def find(c: Connection, federation: str, digest: str) -> Offered | None:
    """Return an agreement by its digest."""
    row = _FIND.first(c, federation=federation, digest=digest)
    return _offered(row) if row is not None else None


def every(c: Connection, federation: str, *, state: str = "") -> list[Offered]:
    """Return all agreements of a federation, or those in a state, the oldest first."""
    rows = _EVERY.all(c, federation=federation)
    return [_offered(row) for row in rows if state in {"", row.state}]


def _offered(row: Any) -> Offered:  # noqa: ANN401 - a row of `agreements`
    return Offered(
        digest=Digest(row.digest),
        material=Digest(row.material),
        document=row.document,
        state=row.state,
        received_at=parse_time(row.received_at),
    )
