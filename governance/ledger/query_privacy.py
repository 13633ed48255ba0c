"""What an auditor asks of privacy: what of statistics left, and what was tried against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance import noised, normalisation, statements
from governance.counts import count
from governance.ledger import (
    kinds_masks,
    kinds_privacy,
    project_statistics,
    spending,
    sums,
)
from governance.ledger.paging import WHOLE, Cut, Page
from governance.ledger.schema import entries, evaluations, releases, reservations
from governance.privacy.releases import METRICS, STATISTICS
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection, Row

    from governance.statements import Statement

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
_OF_DATA: Final = "sums for normalisation"
_BY_REFERENCE: Final = (
    "Normalisation is by the agreement's reference values: no such statistic left."
)
_BY_STATISTICS: Final = (
    "Normalisation is by what the sums of all hospitals come to, with noise; no smallest or "
    "largest value and no count without noise left."
)
_SAID: Final = (
    "test", "patients", "rounds", "claimed", "at_least", "without_noise", "confidence",
    "canaries", "guesses", "right", "finding",
)  # fmt: skip
_AUDITS: Final = ("seq", "at", "site", *_SAID, "agreement", "worker")


def statistics(c: Connection, *, site: str | None = None, page: Page = WHOLE) -> Answer:
    """Say which statistics of patients left each hospital, by which mechanism, at which ε."""
    question = select(evaluations).order_by(evaluations.c.seq)
    if site is not None:
        question = question.where(evaluations.c.site == site)
    figures = c.execute(page.of(question, evaluations.c.seq)).all()
    sums_said = project_statistics.released(c, site=site)
    of_data = [
        row for row in _of_data(c, sums_said) if page.after is None or row[-1] > page.after
    ]
    every = sorted(
        [*(_statistic(c, row) for row in figures), *of_data], key=lambda row: row[-1]
    )
    rows, more = page.cut(every)
    counted = sums.measurements(c, site)
    noisy = counted.get(noised.MECHANISM, 0) + len(sums_said)
    in_all = sum(counted.values()) + len(sums_said)
    cut = Cut(len(rows), in_all, rows[-1][-1] if more else None)
    notes = [_BY_STATISTICS if sums_said else _BY_REFERENCE]
    if exact := in_all - noisy:
        notes.append(f"Figures left exactly {count(exact, 'time')}: no ε covers those.")
    if noisy:
        notes.append("epsilon is of each alone; `spending` has them together with training.")
    summed = select(func.count()).where(entries.c.kind == kinds_masks.SUMMED)
    masked = int(c.execute(summed).scalar_one())
    if masked:
        of = count(masked, "model")
        notes.append(f"Figures of {of} left masked, and their sum alone was read.")
    return Answer(
        _STATISTICS,
        rows,
        title="Statistics of patients that left, each with its mechanism",
        notes=[*notes, *cut.notes] if rows else ("No statistic of patients left.",),
        facts=cut.facts,
    )


def _statistic(c: Connection, row: Row[Any]) -> tuple[Any, ...]:
    place = (row.site, _FIGURES, row.round, row.attempt, row.mechanism)
    paid = _paid_for(c, row) if row.mechanism == noised.MECHANISM else None
    if paid is None:
        return (*place, None, None, None, None, None, row.seq)
    return (*place, *_cost(paid), paid.seq, row.seq)


def _of_data(
    c: Connection, released: Iterable[tuple[int, Statement]]
) -> Iterator[tuple[Any, ...]]:
    """Yield the statistics that values are normalised by; one that was sent again, again."""
    seen: dict[str, list[str]] = {}
    for seq, said in released:
        name = said.actor.partition("/")[2]
        vectors, vector = seen.setdefault(name, []), said.commitments[normalisation.LABEL]
        if vector not in vectors:
            vectors.append(vector)
        paid = c.execute(
            select(reservations, entries.c.envelope)
            .join(entries, entries.c.seq == reservations.c.seq)
            .where(reservations.c.site == name, reservations.c.purpose == STATISTICS)
            .order_by(reservations.c.seq)
            .offset(vectors.index(vector))
            .limit(1)
        ).one()
        place = (name, _OF_DATA, said.body["round"], said.body["attempt"])
        yield (*place, said.body["mechanism"], *_cost(paid), paid.seq, seq)


def _cost(paid: Row[Any]) -> tuple[object, ...]:
    """Return noise multiplier, sensitivity, ε alone and δ of a reservation."""
    from governance.privacy.accountant import format_epsilon

    held = spending.read(paid.seq, statements.read(paid.envelope).body)
    alone = format_epsilon(spending.epsilon((held.release,), held.delta))
    return (paid.noise_multiplier, f"{float(paid.clip):.4g}", alone, paid.delta)


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
