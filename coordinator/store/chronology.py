"""What a finished federation's record says, for a rehearsal's summary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from coordinator.store import kept, record
from governance import figures, noised
from governance.ledger import store as ledger
from governance.ledger.schema import (
    checkpoints,
    cosignatures,
    disclosures,
    evaluations,
    reservations,
    rounds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from governance.figures import Figures


@dataclass(frozen=True, slots=True)
class Chronology:
    """The agreement, its rounds, the final model, and ε (decimal) by site at δ.

    `quality` is what the sites' figures of each closed round's model come to, by metric.
    """

    agreement: str
    document: bytes
    model_digest: str
    rounds: Sequence[Mapping[str, Any]]
    epsilon: Mapping[str, str]
    delta: float
    quality: Mapping[int, Mapping[str, float]]


def read(url: str) -> Chronology:
    """Read the record of the last agreement that is complete."""
    engine = ledger.open_engine(url)
    try:
        with engine.connect() as connection:
            return _read(connection)
    finally:
        engine.dispose()


def witnesses(url: str) -> int:
    """Return how many sites have cosigned the latest checkpoint."""
    engine = ledger.open_engine(url)
    try:
        with engine.connect() as connection:
            size = connection.execute(select(func.max(checkpoints.c.size))).scalar() or 0
            cosigned = select(func.count()).where(cosignatures.c.size == size)
            return int(connection.execute(cosigned).scalar() or 0)
    finally:
        engine.dispose()


def _read(connection: Connection) -> Chronology:
    agreement = record.agreement_digests(connection, "complete")[-1]
    model = kept.blob_note(connection, "model")
    told = connection.execute(select(rounds).order_by(rounds.c.round, rounds.c.attempt))
    spent = connection.execute(
        select(
            reservations.c.site, reservations.c.epsilon_total, reservations.c.delta
        ).order_by(reservations.c.seq)
    ).all()
    return Chronology(
        agreement=agreement,
        document=kept.document(connection, agreement) or b"",
        model_digest=model.digest if model else "",
        rounds=[
            {
                "round": row.round,
                "attempt": row.attempt,
                "state": row.state,
                "model_digest": row.model_out or row.model_in,
                "sites_in": json.loads(row.sites_in or "[]"),
                "sites_out": json.loads(row.sites_out or "{}"),
            }
            for row in told
        ],
        epsilon={row.site: row.epsilon_total for row in spent},
        delta=float(spent[-1].delta) if spent else 0.0,
        quality=_quality(connection),
    )


def _quality(connection: Connection) -> dict[int, dict[str, float]]:
    """Pool what the sites said of each model that became the global one."""
    told = connection.execute(
        select(rounds.c.round, rounds.c.agreement, disclosures.c.value)
        .join(
            evaluations,
            (evaluations.c.round == rounds.c.round)
            & (evaluations.c.attempt == rounds.c.attempt)
            & (evaluations.c.model == rounds.c.model_out),
        )
        .join(disclosures, disclosures.c.seq == evaluations.c.seq)
        .where(rounds.c.state == "closed", disclosures.c.label == "figures")
        .order_by(rounds.c.round, evaluations.c.site)
    )
    parts: dict[int, list[Figures]] = {}
    for row in told:
        document = record.read_document(connection, row.agreement)
        assert document is not None
        said = noised.read(row.value, document.agreement)
        parts.setdefault(row.round, []).append(said)
    return {number: _metrics(figures.pooled(every)) for number, every in parts.items()}


def _metrics(said: Figures) -> dict[str, float]:
    values = {name: said.metric(name) for name in figures.METRICS}
    return {name: value for name, value in values.items() if value is not None}
