"""What an auditor asks of rounds and models: who was asked, who is inside, why not others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, select

from governance import statements
from governance.counts import count
from governance.ledger import query_releases
from governance.ledger.reading import (
    Standings,
    attempts_of,
    names_in,
    of_attempt,
    received_at,
    standing_at,
    statement_at,
)
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
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
_LINEAGE: Final = (
    "round",
    "attempt",
    "site",
    "agreement",
    "consent_seq",
    "contribution_seq",
    "closed_seq",
    "steps",
    "patients",
    "worker",
)
_LEAST_PREFIX: Final = 8
_OPENED, _ENDED = entries.alias(), entries.alias()
_HELD: Final = (
    select(rounds, _OPENED.c.received_at.label("opened"), _ENDED.c.received_at.label("ended"))
    .join(_OPENED, _OPENED.c.seq == rounds.c.opened_seq)
    .outerjoin(_ENDED, _ENDED.c.seq == rounds.c.ended_seq)
    .order_by(rounds.c.opened_seq)
)


def rounds_held(c: Connection, *, site: str | None = None, state: str | None = None) -> Answer:
    """Say what became of every attempt of every round, or of those in a state alone."""
    question = _HELD if state is None else _HELD.where(rounds.c.state == state)
    rows = [
        (
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
        for row in c.execute(question)
        if site is None or site in names_in(row.sites)
    ]
    closed = sum(1 for row in rows if row[2] == "closed")
    return Answer(
        _ROUNDS,
        rows,
        title=f"{count(closed, 'round')} committed, in {count(len(rows), 'attempt')}",
        notes=() if rows else ("There is no such round.",),
        facts={"committed": closed, "attempts": len(rows)},
    )


def one_round(c: Connection, number: int) -> Answer:
    """Say who was asked in a round, who contributed, and why others did not.

    Raises:
        Refused: there was no such round.
    """
    attempts = attempts_of(c, number)
    rows = [row for attempt in attempts for row in _round_rows(c, attempt)]
    notes = [line for a in attempts for line in (_told(c, a), *_drawn(c, a))]
    facts = {
        "round": number,
        "attempts": [
            {each.name: row[i] for i, each in enumerate(rounds.c) if each.name not in _LISTS}
            for row in attempts
        ],
    }
    return Answer(_ROUND, rows, title=f"Round {number}", notes=notes, facts=facts)


_LISTS: Final = frozenset({"sites", "sites_in", "sites_out"})


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
            "in" if is_in else ("open" if attempt.state == "open" else "out"),
            None if is_in else out.get(site),
            made.steps if made else None,
            made.epsilon if made else None,
            made.update_digest if made else None,
            consent.signed_seq if consent else None,
            reserved.seq if reserved else None,
            made.seq if made else None,
            figures.seq if figures else None,
        )


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
    ended = "" if attempt.ended_seq is None else f" at entry {attempt.ended_seq}"
    return f"{begun}{ended}{f': {attempt.reason}' if attempt.reason else ''}{rejected}."


def lineage(c: Connection, model: str, *, site: str | None = None) -> Answer:
    """Say which rounds, sites, consents and software are inside a model.

    Args:
        c: A connection.
        model: Its digest, at least the first eight digits of it, or a release's name.
        site: The only site to show, or all.

    Raises:
        Refused: no committed round made it, or the digits fit several.
    """
    digest = _model(c, model)
    path = list(_path(c, digest))[::-1]
    rows = list(_lineage_rows(c, path, site))
    inside = sorted({str(row[2]) for row in rows})
    counted = len({row[0] for row in rows})
    return Answer(
        _LINEAGE,
        rows,
        title=f"Model {digest[:8]}: {count(counted, 'round')}, {count(len(inside), 'site')}",
        notes=query_releases.of_model(c, digest),
        facts={"model": digest, "rounds": counted, "sites": inside},
    )


def _path(c: Connection, digest: str) -> Iterator[Row[Any]]:
    """Walk from a model back to its beginning, over the rounds that made it."""
    before: int | None = None
    closed = (
        select(rounds).where(rounds.c.state == "closed").order_by(rounds.c.ended_seq.desc())
    )
    for row in c.execute(closed):
        if row.model_out == digest and (before is None or row.ended_seq < before):
            yield row
            digest, before = row.model_in, row.opened_seq


def _lineage_rows(
    c: Connection, path: Sequence[Row[Any]], only: str | None
) -> Iterator[tuple[object, ...]]:
    """Yield what each site gave to the rounds of a path, in one walk over the record."""
    stood = Standings(c)
    given = _given(c, path, only)
    for attempt in path:
        standing = stood.before(attempt.opened_seq)
        for site in sorted(names_in(attempt.sites_in)):
            made = given.get((attempt.round, attempt.attempt, site))
            if made is None:
                continue
            consent = standing.consent(site, attempt.agreement)
            body = statements.read(made.envelope).body
            yield (
                attempt.round,
                attempt.attempt,
                site,
                attempt.agreement,
                consent.signed_seq if consent else None,
                made.seq,
                attempt.ended_seq,
                made.steps,
                body["declared_patients"],
                body["worker"],
            )


def _given(
    c: Connection, path: Sequence[Row[Any]], only: str | None
) -> dict[tuple[int, int, str], Row[Any]]:
    """Return the last contribution of each site to each attempt, with its entry."""
    if not path:
        return {}
    question = (
        select(contributions, entries.c.envelope)
        .join(entries, entries.c.seq == contributions.c.seq)
        .where(contributions.c.seq > path[0].opened_seq)
        .where(contributions.c.seq < path[-1].ended_seq)
        .order_by(contributions.c.seq)
    )
    if only is not None:
        question = question.where(contributions.c.site == only)
    return {(row.round, row.attempt, row.site): row for row in c.execute(question)}


def _model(c: Connection, model: str) -> str:
    released = query_releases.named(c, model)
    if released is not None:
        return released
    found: Iterable[str] = ()
    if len(model) >= _LEAST_PREFIX and model.isalnum():
        found = {
            str(digest)
            for digest in c.execute(
                select(rounds.c.model_out).where(rounds.c.model_out.startswith(model))
            ).scalars()
        }
    if len(set(found)) != 1:
        raise Refused(
            f"{'several models begin' if found else 'no committed model begins'} with {model}",
            todo="Give the digest, or its first eight digits or more; see: "
            "concilium-ledger rounds --format json",
            rule="no-model",
        )
    return next(iter(found))


def _reasons(text: str | None) -> str:
    return ", ".join(f"{site}: {why}" for site, why in sorted(json.loads(text or "{}").items()))
