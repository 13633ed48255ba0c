"""What an auditor asks of rounds: who was asked, who is inside, why not others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Row, case, func, select

from governance.counts import count
from governance.ledger import upstream, waited
from governance.ledger.abandoned import reason_of
from governance.ledger.lateness import was_late
from governance.ledger.paging import WHOLE, Cut, Page
from governance.ledger.reading import (
    as_of,
    attempts_of,
    names_in,
    of_attempt,
    received_at,
    size_at,
    standing_at,
    statement_at,
)
from governance.ledger.reserved import PAID_BY
from governance.ledger.schema import (
    contributions,
    entries,
    evaluations,
    reservations,
    rounds,
)
from governance.privacy.releases import TRAINING
from governance.statements import parse_time
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

_ROUNDS: Final = (
    "round",
    "attempt",
    "state",
    "opened",
    "ended",
    "in",
    "out",
    "reason",
    "model",
)
_ROUND: Final = (
    "attempt",
    "site",
    "outcome",
    "reason",
    "steps",
    "epsilon",
    "update",
    "consent_seq",
    "reservation_seq",
    "contribution_seq",
    "evaluation_seq",
)
_OPEN: Final = "open"
_OPENED, _ENDED = entries.alias(), entries.alias()
_HELD: Final = (
    select(rounds, _OPENED.c.received_at.label("opened"), _ENDED.c.received_at.label("ended"))
    .join(_OPENED, _OPENED.c.seq == rounds.c.opened_seq)
    .outerjoin(_ENDED, _ENDED.c.seq == rounds.c.ended_seq)
    .order_by(rounds.c.round, rounds.c.attempt)
)


def rounds_held(
    c: Connection,
    *,
    site: str | None = None,
    state: str | None = None,
    at: datetime | None = None,
    page: Page = WHOLE,
) -> Answer:
    """Say what became of every attempt of every round, or of those in a state alone.

    A page has whole rounds; `page.after` is the last round of the one before.

    Args:
        c: The ledger.
        site: Those alone that this one was asked in.
        state: Those alone that are in this state.
        at: As of this moment.
        page: Which of them to show.
    """
    size = size_at(c, at)
    stood: ColumnElement[str] = rounds.c.state
    fits = []
    if size is not None:
        stood = case((rounds.c.ended_seq < size, stood), else_=_OPEN)
        fits.append(rounds.c.opened_seq < size)
    if state is not None:
        fits.append(stood == state)
    if site is not None:
        fits.append(rounds.c.sites.contains(f'"{site}"', autoescape=True))
    numbers = select(rounds.c.round).where(*fits).order_by(rounds.c.round, rounds.c.attempt)
    last = page.until(c, numbers, rounds.c.round)
    question = page.rest(_HELD.where(*fits), rounds.c.round)
    if last is not None:
        question = question.where(rounds.c.round <= last)
    rows = [_held(row, size) for row in c.execute(question)]
    counted = select(stood, func.count()).where(*fits).group_by(stood)
    attempts = {name: int(times) for name, times in c.execute(counted)}
    cut = Cut(len(rows), sum(attempts.values()), last)
    closed = attempts.get("closed", 0)
    title = f"{count(closed, 'round')} committed, in {count(cut.in_all, 'attempt')}"
    return Answer(
        _ROUNDS,
        rows,
        title=count(cut.in_all, f"{state} attempt") if state else title,
        notes=cut.notes if rows else ("There is no such round.",),
        facts={"committed": closed, "attempts": cut.in_all, **as_of(at), **cut.facts},
    )


def _held(row: Row[Any], size: int | None) -> tuple[object, ...]:
    if size is not None and (row.ended_seq is None or row.ended_seq >= size):
        return (row.round, row.attempt, _OPEN, row.opened, None, "", "", None, None)
    return (
        row.round,
        row.attempt,
        row.state,
        row.opened,
        row.ended,
        ", ".join(names_in(row.sites_in)),
        _reasons(row.sites_out),
        row.reason,
        row.model_out,
    )


def one_round(c: Connection, number: int) -> Answer:
    """Say who was asked in a round, who contributed, and why others did not.

    Raises:
        Refused: there was no such round.
    """
    attempts = attempts_of(c, number)
    rows = [row for attempt in attempts for row in _round_rows(c, attempt)]
    came = [upstream.came_up(c, number, a.attempt) for a in attempts]
    notes = [
        line
        for a, up in zip(attempts, came, strict=True)
        for line in (
            _told(c, a),
            *_drawn(c, a),
            *waited.told(c, a),
            *upstream.said(a.attempt, up),
        )
    ]
    facts = {
        "round": number,
        "attempts": [
            {
                **{e.name: row[i] for i, e in enumerate(rounds.c) if e.name not in _LISTS},
                "updates": up.updates,
                "update_bytes": up.size_bytes,
            }
            for row, up in zip(attempts, came, strict=True)
        ],
    }
    return Answer(_ROUND, rows, title=f"Round {number}", notes=notes, facts=facts)


_LISTS: Final = frozenset({"sites", "sites_in", "sites_out", "alike_seq"})


def _round_rows(c: Connection, attempt: Row[Any]) -> Iterator[tuple[object, ...]]:
    opened = parse_time(received_at(c, attempt.opened_seq))
    standing = standing_at(c, opened, attempt.opened_seq)
    out = json.loads(attempt.sites_out or "{}")
    for site in sorted(names_in(attempt.sites)):
        made = of_attempt(c, contributions, site, attempt)
        trained = reservations.c.purpose == TRAINING
        reserved = of_attempt(c, reservations, site, attempt, trained)
        figures = of_attempt(c, evaluations, site, attempt)
        consent = standing.consent(site, attempt.agreement)
        is_in = site in names_in(attempt.sites_in)
        yield (
            attempt.attempt,
            site,
            "in" if is_in else (_OPEN if attempt.state == _OPEN else "out"),
            None if is_in else out.get(site),
            made.steps if made else None,
            made.epsilon if made else None,
            made.update_digest if made else None,
            consent.signed_seq if consent else None,
            reserved.seq if reserved else _paid(c, made),
            made.seq if made else None,
            figures.seq if figures else None,
        )


def _paid(c: Connection, made: Row[Any] | None) -> int | None:
    """Return the reservation of an update that was late for the round before, if it was."""
    if made is None or not was_late(made):
        return None
    paid = select(PAID_BY).select_from(contributions).where(contributions.c.seq == made.seq)
    return c.execute(paid).scalar()


def _drawn(c: Connection, attempt: Row[Any]) -> list[str]:
    """Say from whom an attempt's sites were drawn, where some were."""
    body = statement_at(c, attempt.opened_seq).body
    if "seed" not in body:
        return []
    among = ", ".join(body["drawn_from"])
    return [f"Attempt {attempt.attempt} was drawn from {among}, by the seed {body['seed']}."]


def _told(c: Connection, attempt: Row[Any]) -> str:
    begun = f"Attempt {attempt.attempt} (entry {attempt.opened_seq}), {attempt.state}"
    if attempt.state == "closed":
        return (
            f"{begun} at entry {attempt.ended_seq}: model {attempt.model_in[:8]} "
            f"became {attempt.model_out[:8]}."
        )
    gate = c.execute(
        select(entries.c.seq).where(
            entries.c.kind == "candidate-rejected",
            entries.c.round == attempt.round,
            entries.c.attempt == attempt.attempt,
        )
    ).scalar()
    rejected = "" if gate is None else f"; its candidate was rejected (entry {gate})"
    why = reason_of(c, attempt)
    ended = "" if attempt.ended_seq is None else f" at entry {attempt.ended_seq}"
    return f"{begun}{ended}{f': {why}' if why else ''}{rejected}."


def _reasons(text: str | None) -> str:
    return ", ".join(f"{site}: {why}" for site, why in sorted(json.loads(text or "{}").items()))
