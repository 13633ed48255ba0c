"""Who was waited for in a round: who was late, where that update counts, who was silent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance.ledger.lateness import was_late
from governance.ledger.reading import names_in
from governance.ledger.reserved import PAID_BY
from governance.ledger.schema import contributions, rounds
from governance.stragglers import LATE, NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

_MADE: Final = select(contributions).where(contributions.c.state == "made")
_CLOSED: Final = select(rounds).where(rounds.c.state == "closed")


def told(c: Connection, attempt: Row[Any]) -> Iterator[str]:
    """Say who was waited for in vain, and which updates are of the round before."""
    out = json.loads(attempt.sites_out or "{}")
    for site, why in sorted(out.items()):
        if why == NO_ANSWER:
            yield f"{site} was waited for in attempt {attempt.attempt} and never answered."
        if why == LATE:
            yield f"{site} was late in attempt {attempt.attempt}{_became(c, site, attempt)}"
    for site in sorted(names_in(attempt.sites_in)):
        found = _of(c, site, attempt.round, attempt.attempt)
        if found and was_late(found[-1]):
            yield trained_before(found[-1])


def trained_before(late: Row[Any]) -> str:
    """Say in which round a contribution was trained that was late for it."""
    return (
        f"The update of {late.site} in attempt {late.attempt} was trained in round "
        f"{late.trained_in} (entry {late.seq})."
    )


def late_in(c: Connection, round_: int) -> Sequence[Row[Any]]:
    """Return the contributions to a round that were late for the one before, and `paid`."""
    asked = _MADE.add_columns(PAID_BY.label("paid")).where(
        contributions.c.round == round_, contributions.c.trained_in != round_
    )
    return c.execute(asked.order_by(contributions.c.seq)).all()


def _became(c: Connection, site: str, attempt: Row[Any]) -> str:
    """Return what became of a late update."""
    if attempt.state != "closed":
        return ", which was given up."
    came = [one for one in _of(c, site, attempt.round + 1) if one.trained_in == attempt.round]
    ended = c.execute(_CLOSED.where(rounds.c.round == attempt.round + 1)).first()
    if came:
        at = f"round {came[-1].round} (entry {came[-1].seq})"
        if ended is None:
            return f"; its update is up for {at}."
        if site in names_in(ended.sites_in) and came[-1].attempt == ended.attempt:
            return f"; its update counts in {at}."
        return f"; its update came up for {at} and is not in."
    if ended is None:
        return "; no update of it has come up so far."
    return ": it had taken its task, and no update of it counts."


def _of(c: Connection, site: str, round_: int, attempt: int | None = None) -> list[Row[Any]]:
    here = [contributions.c.site == site, contributions.c.round == round_]
    if attempt is not None:
        here.append(contributions.c.attempt == attempt)
    return list(c.execute(_MADE.where(*here).order_by(contributions.c.seq)))
