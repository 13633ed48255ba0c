"""What an auditor asks of masked sums: who took which step, who dropped out, what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance import statements
from governance.counts import count
from governance.ledger.abandoned import reason_of
from governance.ledger.kinds_masks import COMPLAINT, MISSING, OPENED, STEP, SUMMED
from governance.ledger.reading import attempts_of, names_in
from governance.ledger.schema import entries, rounds
from governance.secagg.terms import EVALUATE, TRAIN, threshold_of
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Row

_COLUMNS: Final = (
    "attempt",
    "purpose",
    "step",
    "sites",
    "out",
    "needed",
    "met",
    "keys_asked_of",
    "refused",
    "seq",
)
_INVITED: Final = "invited"
_IN_SUM: Final = "masked"
_ENDS: Final = (SUMMED, MISSING)
_SAID: Final = frozenset({STEP, OPENED, *_ENDS})
"""What the coordinator says of a masked sum."""
_WORDS: Final = (
    "out took the step before and not this one; needed is how many hospitals must take it.",
    (
        "At the step signed, the key of each hospital in keys_asked_of is asked for, and the "
        "own mask of each other one: never both of one hospital."
    ),
)


def masks_of(c: Connection, number: int) -> Answer:
    """Say who took each step of a round's masked sums, who dropped out, and what was asked.

    Raises:
        Refused: there was no such round.
    """
    attempts = attempts_of(c, number)
    rows, both, complaints, ends = [], [], [], []
    for attempt in attempts:
        said = list(_said(c, attempt))
        steps = [(seq, body) for seq, kind, body, _ in said if kind == STEP]
        invited = {TRAIN: (set(names_in(attempt.sites)), attempt.opened_seq)}
        for seq, kind, body, _ in said:
            if kind == OPENED:
                invited[EVALUATE] = (set(body["sites"]), seq)
        rows += list(_rows(attempt, steps, invited))
        ends += [_ended(seq, kind, body) for seq, kind, body, _ in said if kind in _ENDS]
        both += sorted(_asked_for_both(steps))
        if attempt.reason:
            why = f"Attempt {attempt.attempt} was abandoned: {reason_of(c, attempt)}"
            ends.append(f"{why} (entry {attempt.ended_seq}).")
        complaints += [
            f"{site} complained in attempt {attempt.attempt}: {body['broken']} (entry {seq})."
            for seq, kind, body, site in said
            if kind == COMPLAINT
        ]
    if not rows:
        none = f"Round {number} had no masked sum: updates were sent singly."
        return Answer(_COLUMNS, [], notes=(none, *complaints, *ends))
    verdict = (
        f"Both kinds of share were asked for of {', '.join(both)}: `verify` names the entry."
        if both
        else "Both kinds of share were asked for of nobody."
    )
    return Answer(
        _COLUMNS,
        rows,
        title=f"Masked sums of round {number}",
        notes=(*_WORDS, verdict, *complaints, *ends),
        facts={"round": number, "both_asked": both, "complaints": len(complaints)},
    )


def _said(
    c: Connection, attempt: Row[Any]
) -> Iterator[tuple[int, str, Mapping[str, Any], str]]:
    """Yield what stands of masks in an attempt: seq, kind, body, and the site that spoke."""
    here = (attempt.round, attempt.attempt)
    following = select(func.min(rounds.c.opened_seq)).where(
        rounds.c.opened_seq > attempt.opened_seq
    )
    after = c.execute(following).scalar()
    told = _PLACES.where(entries.c.seq > attempt.opened_seq)
    if after is not None:  # a step stands before the next attempt, a complaint anywhere
        told = told.where(entries.c.seq < after)
    seqs = [row.seq for row in c.execute(told) if row.kind in _SAID and row[2:] == here]
    complaints = c.execute(_PLACES.where(entries.c.kind == COMPLAINT))
    seqs += [row.seq for row in complaints if row[2:] == here]
    question = select(*entries.c["seq", "kind", "site", "envelope"])
    for row in c.execute(question.where(entries.c.seq.in_(seqs)).order_by(entries.c.seq)):
        yield row.seq, row.kind, statements.read(row.envelope).body, str(row.site)


_PLACES: Final = select(*entries.c["seq", "kind", "round", "attempt"])


def _ended(seq: int, kind: str, body: Mapping[str, Any]) -> str:
    """Say what a sum of figures came to."""
    attempt = f"attempt {body['attempt']} (entry {seq})"
    if kind == SUMMED:
        summed = count(len(body["sites"]), "hospital")
        return f"Figures of {summed} together were read in {attempt}, and of none alone."
    return f"There are no figures of {attempt}: {body['reason']}."


def _rows(
    attempt: Row[Any],
    steps: list[tuple[int, Mapping[str, Any]]],
    invited: Mapping[str, tuple[set[str], int]],
) -> Iterator[tuple[object, ...]]:
    before: dict[str, set[str]] = {}
    for seq, body in steps:
        purpose, sites = str(body["purpose"]), set(body["sites"])
        asked, since = invited.get(purpose, (set(), seq))
        needed = threshold_of(len(asked))
        if purpose not in before:
            first = (attempt.attempt, purpose, _INVITED, _listed(asked), "", needed)
            yield (*first, _met(asked, needed), "", "", since)
        out = before.get(purpose, asked) - sites
        before[purpose] = sites
        yield (
            attempt.attempt,
            purpose,
            body["step"],
            _listed(sites),
            _listed(out),
            needed,
            _met(sites, needed),
            _listed(body["dropped"]),
            ", ".join(f"{site}: {rule}" for site, rule in sorted(body["refused"].items())),
            seq,
        )


def _asked_for_both(steps: list[tuple[int, Mapping[str, Any]]]) -> set[str]:
    """Return of whom the own mask is asked for, as it is in the sum, and the key as well."""
    summed: dict[str, set[str]] = {}
    found: set[str] = set()
    for _, body in steps:
        purpose = str(body["purpose"])
        if body["step"] == _IN_SUM:
            summed.setdefault(purpose, set()).update(body["sites"])
        found |= set(body["dropped"]) & summed.get(purpose, set())
    return found


def _listed(sites: set[str] | list[str]) -> str:
    return ", ".join(sorted(sites))


def _met(sites: set[str], needed: int) -> str:
    return "yes" if len(sites) >= needed else "no"
