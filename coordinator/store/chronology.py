"""What a finished federation's record says, for a rehearsal's summary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from coordinator.store import kept, measured, quality, record
from governance import figures, normalisation
from governance.ledger import store as ledger
from governance.ledger.schema import (
    checkpoints,
    cosignatures,
    reservations,
    rounds,
)
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from governance.figures import Figures


@dataclass(frozen=True, slots=True)
class Chronology:
    """The agreement, its rounds, the final model, and ε (decimal) by site at δ.

    `scales` are what quantities are normalised by, empty for the agreement's references;
    `quality` is what the sites' figures of each closed round's model come to, by metric.
    """

    agreement: str
    document: bytes
    model_digest: str
    rounds: Sequence[Mapping[str, Any]]
    epsilon: Mapping[str, str]
    delta: float
    quality: Mapping[int, Mapping[str, float]]
    scales: Mapping[str, Mapping[str, str]]


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
        scales=_scales(connection, agreement),
    )


def _scales(connection: Connection, agreement: str) -> dict[str, dict[str, str]]:
    document = record.read_document(connection, agreement)
    if document is None or not document.agreement.statistics_federated:
        return {}
    found = measured.scales(connection, normalisation.basis_of(document.agreement))
    return {name: one.to_json() for name, one in (found or {}).items()}


def _quality(connection: Connection) -> dict[int, dict[str, float]]:
    """Pool what the sites said of each model that became the global one."""
    closed = connection.execute(
        select(rounds.c.round, rounds.c.attempt, rounds.c.model_out)
        .where(rounds.c.state == "closed")
        .order_by(rounds.c.round)
    )
    told = {
        row.round: quality.said(connection, row.round, row.attempt, Digest(row.model_out))
        for row in closed.all()
    }
    return {
        number: _metrics(figures.pooled(said[site] for site in sorted(said)))
        for number, said in told.items()
        if said
    }


def _metrics(said: Figures) -> dict[str, float]:
    values = {name: said.metric(name) for name in figures.METRICS}
    return {name: value for name, value in values.items() if value is not None}
