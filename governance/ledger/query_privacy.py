"""What an auditor asks of privacy: what of statistics left, and what was tried against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance import noised, statements
from governance.counts import count
from governance.ledger import kinds_privacy, spending
from governance.ledger.schema import entries, evaluations, releases, reservations
from governance.privacy.releases import METRICS
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_STATISTICS: Final = (
    "site",
    "what",
    "round",
    "attempt",
    "mechanism",
    "noise_multiplier",
    "sensitivity",
    "epsilon",
    "delta",
    "reservation_seq",
    "seq",
)
_FIGURES: Final = "figures of quality"
_SAID: Final = (
    "test", "patients", "rounds", "claimed", "at_least", "without_noise", "confidence",
    "canaries", "guesses", "right", "finding",
)  # fmt: skip
_AUDITS: Final = ("seq", "at", "site", *_SAID, "agreement", "worker")


def statistics(c: Connection, *, site: str | None = None) -> Answer:
    """Say which statistics of patients left each hospital, by which mechanism, at which ε."""
    question = select(evaluations).order_by(evaluations.c.seq)
    if site is not None:
        question = question.where(evaluations.c.site == site)
    rows = [_statistic(c, row) for row in c.execute(question)]
    exact = sum(row[4] != noised.MECHANISM for row in rows)
    notes = ["Normalisation is by the agreement's reference values: no such statistic left."]
    if exact:
        notes.append(f"Figures left exactly {count(exact, 'time')}: no ε covers those.")
    if len(rows) > exact:
        notes.append("epsilon is of each alone; `spending` has them together with training.")
    return Answer(
        _STATISTICS,
        rows,
        title="Statistics of patients that left, each with its mechanism",
        notes=notes if rows else ("No statistic of patients left.",),
    )


def _statistic(c: Connection, row: Row[Any]) -> tuple[object, ...]:
    place = (row.site, _FIGURES, row.round, row.attempt, row.mechanism)
    paid = _paid_for(c, row) if row.mechanism == noised.MECHANISM else None
    if paid is None:
        return (*place, None, None, None, None, None, row.seq)
    from governance.privacy.accountant import format_epsilon

    held = spending.read(paid.seq, statements.read(paid.envelope).body)
    alone = format_epsilon(spending.epsilon((held.release,), held.delta))
    how = (paid.noise_multiplier, f"{float(paid.clip):.4g}", alone, paid.delta)
    return (*place, *how, paid.seq, row.seq)


def _paid_for(c: Connection, row: Row[Any]) -> Row[Any] | None:
    """Return what was reserved for noised figures: the first of an attempt pays the first."""
    same = (
        evaluations.c.site == row.site,
        evaluations.c.round == row.round,
        evaluations.c.attempt == row.attempt,
        evaluations.c.mechanism == noised.MECHANISM,
        evaluations.c.seq < row.seq,
    )
    before = c.execute(select(func.count()).select_from(evaluations).where(*same)).scalar_one()
    return c.execute(
        select(reservations, entries.c.envelope)
        .join(entries, entries.c.seq == reservations.c.seq)
        .where(
            reservations.c.site == row.site,
            reservations.c.round == row.round,
            reservations.c.attempt == row.attempt,
            reservations.c.purpose == METRICS,
        )
        .order_by(reservations.c.seq)
        .offset(before)
        .limit(1)
    ).first()


def audits(c: Connection, release: str | None = None) -> Answer:
    """Say which privacy tests were recorded: all, or those of a release's agreement.

    Raises:
        Refused: there is no such release.
    """
    agreement = None if release is None else _agreement_of(c, release)
    question = select(entries.c.seq, entries.c.received_at, entries.c.site, entries.c.envelope)
    question = question.where(entries.c.kind == kinds_privacy.AUDITED)
    if agreement is not None:
        question = question.where(entries.c.agreement == agreement)
    rows = []
    for row in c.execute(question.order_by(entries.c.seq)):
        body = statements.read(row.envelope).body
        said = [body[name] for name in _SAID]
        more = (body["agreement"], body["worker"])
        rows.append((row.seq, row.received_at, row.site, *said, *more))
    none = "No privacy test was recorded" + (f" of {release}'s agreement." if release else ".")
    return Answer(
        _AUDITS,
        rows,
        title="Privacy tests, each with the least ε that it shows beside the claim",
        notes=_MEANING if rows else (none,),
        unshown=frozenset({"without_noise", "confidence", "agreement", "worker", "patients"}),
    )


_MEANING: Final = (
    (
        "Canaries were trained with, as the agreement trains, on patients who do not exist; "
        "who sees the result guesses which were in. at_least is the bound that the guesses "
        "give, with 95 % confidence, checked by `verify`; above claimed it refutes the claim."
    ),
)


def _agreement_of(c: Connection, release: str) -> str:
    found = c.execute(
        select(releases.c.agreement).where(releases.c.release == release)
    ).scalar()
    if found is None:
        raise Refused(
            f"there is no release {release} in this ledger",
            todo="See which there are with: concilium-ledger releases",
            rule="unknown-release",
        )
    return str(found)
