"""What an auditor asks of masked sums: who took which step, who dropped out, what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import statements
from governance.ledger.kinds_masks import COMPLAINT, STEP
from governance.ledger.reading import attempts_of, names_in
from governance.ledger.schema import entries
from governance.secagg.terms import threshold_of
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
_SUMMED: Final = "masked"
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
    rows, both, complaints = [], [], []
    for attempt in attempts:
        said = list(_said(c, attempt))
        steps = [(seq, body) for seq, kind, body, _ in said if kind == STEP]
        rows += list(_rows(attempt, steps))
        both += sorted(_asked_for_both(steps))
        complaints += [
            f"{site} complained in attempt {attempt.attempt}: {body['broken']} (entry {seq})."
            for seq, kind, body, site in said
            if kind == COMPLAINT
        ]
    if not rows:
        none = f"Round {number} had no masked sum: updates were sent singly."
        return Answer(_COLUMNS, [], notes=(none, *complaints))
    verdict = (
        f"Both kinds of share were asked for of {', '.join(both)}: `verify` names the entry."
        if both
        else "Both kinds of share were asked for of nobody."
    )
    return Answer(
        _COLUMNS,
        rows,
        title=f"Masked sums of round {number}",
        notes=(*_WORDS, verdict, *complaints),
        facts={"round": number, "both_asked": both, "complaints": len(complaints)},
    )


def _said(
    c: Connection, attempt: Row[Any]
) -> Iterator[tuple[int, str, Mapping[str, Any], str]]:
    """Yield what stands of masks in an attempt: seq, kind, body, and the site that spoke."""
    question = (
        select(entries.c.seq, entries.c.kind, entries.c.site, entries.c.envelope)
        .where(
            entries.c.kind.in_((STEP, COMPLAINT)),
            entries.c.round == attempt.round,
            entries.c.attempt == attempt.attempt,
            entries.c.seq > attempt.opened_seq,
        )
        .order_by(entries.c.seq)
    )
    for row in c.execute(question):
        yield row.seq, row.kind, statements.read(row.envelope).body, str(row.site)


def _rows(
    attempt: Row[Any], steps: list[tuple[int, Mapping[str, Any]]]
) -> Iterator[tuple[object, ...]]:
    asked = set(names_in(attempt.sites))
    needed = threshold_of(len(asked))
    before: dict[str, set[str]] = {}
    for seq, body in steps:
        purpose, sites = str(body["purpose"]), set(body["sites"])
        if purpose not in before:
            first = (attempt.attempt, purpose, _INVITED, _listed(asked), "", needed)
            yield (*first, _met(asked, needed), "", "", attempt.opened_seq)
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
        if body["step"] == _SUMMED:
            summed.setdefault(purpose, set()).update(body["sites"])
        found |= set(body["dropped"]) & summed.get(purpose, set())
    return found


def _listed(sites: set[str] | list[str]) -> str:
    return ", ".join(sorted(sites))


def _met(sites: set[str], needed: int) -> str:
    return "yes" if len(sites) >= needed else "no"
