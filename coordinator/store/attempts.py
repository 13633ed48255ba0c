"""Attempts of rounds as the ledger's projections tell of them, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from governance.ledger.kinds_masks import COMPLAINT, MISSING
from governance.ledger.schema import entries, rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row


def complaints(connection: Connection) -> list[tuple[str, int, bytes]]:
    """Return who complained of the last attempt's masked sums: site, round, envelope."""
    return _of_the_last(connection, COMPLAINT)


def without_figures(connection: Connection) -> list[tuple[str, int, bytes]]:
    """Return that the last attempt's figures are missing, if they are: round, envelope."""
    return _of_the_last(connection, MISSING)


def _of_the_last(connection: Connection, kind: str) -> list[tuple[str, int, bytes]]:
    last = select(rounds.c.round, rounds.c.attempt, rounds.c.opened_seq)
    at = connection.execute(last.order_by(rounds.c.opened_seq.desc()).limit(1)).first()
    if at is None:
        return []
    question = select(entries.c.site, entries.c.round, entries.c.envelope).where(
        entries.c.kind == kind,
        entries.c.seq > at.opened_seq,
        entries.c.round == at.round,
        entries.c.attempt == at.attempt,
    )
    rows = connection.execute(question.order_by(entries.c.seq))
    return [(row.site, row.round, row.envelope) for row in rows]


def newest(
    connection: Connection, *, round_: int, before: int, most: int
) -> Sequence[Row[Any]]:
    """Return rows of `rounds` with `opened_at` and `ended_at`, at most `most`.

    Args:
        connection: A connection.
        round_: The only round, or 0 for all.
        before: Only those opened before this entry, or 0 for the newest.
        most: How many.
    """
    opened, ended = entries.alias(), entries.alias()
    question = (
        select(
            rounds,
            opened.c.received_at.label("opened_at"),
            ended.c.received_at.label("ended_at"),
        )
        .join(opened, opened.c.seq == rounds.c.opened_seq)
        .outerjoin(ended, ended.c.seq == rounds.c.ended_seq)
        .order_by(rounds.c.opened_seq.desc())
        .limit(most)
    )
    if round_:
        question = question.where(rounds.c.round == round_)
    if before:
        question = question.where(rounds.c.opened_seq < before)
    return connection.execute(question).all()
