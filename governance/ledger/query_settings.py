"""What an auditor asks of privacy settings: which ones a round was trained with, and by whom.

The settings are those that each hospital stated, and signed, before its first batch.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import noised, statements
from governance.ledger import reserved, waited
from governance.ledger.reading import attempts_of
from governance.ledger.schema import consents, entries, evaluations, rounds
from governance.privacy.releases import TRAINING, purpose_of
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from governance.ledger.reserved import Parts

_SAME: Final = (
    "sampling_rate",
    "noise_multiplier",
    "clip",
    "steps",
    "delta",
    "loader",
    "unit",
)
COLUMNS: Final = (
    "attempt", "site", *_SAME, "expected_batch", "epsilon_total", "purpose", "seq",
)  # fmt: skip
_RESERVED: Final = "budget-reserved"
MARKS: Final = (50, 80, 100)
"""Shares of a cap, in percent, whose passing is told."""


def settings_of(c: Connection, number: int) -> Answer:
    """Say with which privacy settings each hospital trained in a round, and was measured.

    Raises:
        Refused: there was no such round.
    """
    attempts = attempts_of(c, number)
    later = select(rounds.c.opened_seq).where(rounds.c.round > number)
    after = c.execute(later.order_by(rounds.c.round, rounds.c.attempt).limit(1)).scalar()
    told = (
        select(entries.c.seq, entries.c.kind, entries.c.round)
        .where(entries.c.seq > attempts[0].opened_seq)
        .order_by(entries.c.seq)
    )
    if after is not None:  # what is said of a round stands before the next one
        told = told.where(entries.c.seq < after)
    seqs = [row.seq for row in c.execute(told) if (row.kind, row.round) == (_RESERVED, number)]
    late = {row.paid: row for row in waited.late_in(c, number)}
    question = (
        select(entries.c.seq, entries.c.site, entries.c.envelope)
        .where(entries.c.seq.in_([*seqs, *late]))
        .order_by(entries.c.seq)
    )
    rows = []
    for row in c.execute(question):
        body = statements.read(row.envelope).body
        said = [body[name] for name in (*_SAME, "expected_batch", "epsilon_total")]
        attempt = late[row.seq].attempt if row.seq in late else body["attempt"]
        rows.append((attempt, row.site, *said, purpose_of(body), row.seq))
    agreements = sorted({str(attempt.agreement) for attempt in attempts})
    return Answer(
        COLUMNS,
        rows,
        title=f"Privacy settings of round {number}, as each hospital signed them",
        notes=(
            *_verdict(rows),
            *map(waited.trained_before, late.values()),
            *_figures_not_covered(c, number),
        ),
        facts={"round": number, "agreements": agreements},
    )


def _figures_not_covered(c: Connection, number: int) -> tuple[str, ...]:
    """Say that figures of the round left exactly, where any did."""
    exact = select(evaluations.c.seq).where(
        evaluations.c.round == number, evaluations.c.mechanism != noised.MECHANISM
    )
    if c.execute(exact.limit(1)).first() is None:
        return ()
    return ("Held-out patients' figures are exact and not covered by ε.",)


def _verdict(rows: Sequence[tuple[object, ...]]) -> tuple[str, ...]:
    if not rows:
        return ("Nothing was reserved: the agreement trains without privacy.",)
    place = COLUMNS.index("purpose")
    purposes = sorted({str(row[place]) for row in rows}, reverse=True)  # training first
    differing = [
        name if purpose == TRAINING else f"{name} for {purpose}"
        for purpose in purposes
        for column, name in enumerate(_SAME, start=2)
        if len({row[column] for row in rows if row[place] == purpose}) > 1
    ]
    if differing:
        return (f"The hospitals differ in {', '.join(differing)}.",)
    return (
        "All hospitals trained with the same settings; a change of them is a new agreement.",
    )


def marks_passed(
    c: Connection, parts: Parts, size: int | None = None
) -> list[Mapping[str, object]]:
    """Return which rounds made a cohort pass 50, 80 and 100 % of its consent's cap.

    By ε as its site stated it, which `verify` holds against its own recomputation.
    """
    return [
        {
            "site": site,
            "cohort": cohort,
            "percent": percent,
            "round": held.round,
            "attempt": held.attempt,
            "seq": held.seq,
        }
        for (site, cohort), rows in sorted(parts.items())
        for percent, held in _passed(c, cap_of(c, site, cohort, size), rows)
    ]


def words(marks: Sequence[Mapping[str, object]]) -> list[str]:
    """Return in words in which rounds who passed which share of a cap."""
    said = []
    for percent in MARKS:
        by_round: dict[int, set[str]] = {}
        for mark in marks:
            if mark["percent"] == percent:
                by_round.setdefault(int(str(mark["round"])), set()).add(str(mark["site"]))
        told = [
            f"round {number}: {', '.join(sorted(by_round[number]))}"
            for number in sorted(by_round)
        ]
        if told:
            said.append(f"Passed {percent} % of the cap in {'; in '.join(told)}.")
    return said


def cap_of(c: Connection, site: str, cohort: str, size: int | None = None) -> float | None:
    """Return the cap of the last consent that named a cohort, in the first so many entries."""
    given = [consents.c.site == site, consents.c.cohort == cohort]
    if size is not None:
        given.append(consents.c.given_seq < size)
    asked = select(consents.c.cap).where(*given).order_by(consents.c.given_seq.desc())
    cap = c.execute(asked.limit(1)).scalar()
    return None if cap is None else float(cap)


def _passed(
    c: Connection, cap: float | None, parts: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Row[Any]]]:
    if cap is None or cap == inf:
        return
    for percent in MARKS:
        first = reserved.first_at(c, parts, cap * percent / 100)
        if first is not None:
            yield percent, first
