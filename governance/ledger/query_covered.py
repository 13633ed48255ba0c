"""What an auditor asks of contributions: was each covered by a consent, then and there.

A contribution needs its site's consent twice: when training started, which its reservation
says (without privacy the round's opening), and when the update was accepted. Both are answered
from the entries alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, Select, func, select

from governance.ledger.paging import WHOLE, Cut, Page
from governance.ledger.reading import Standings, received_at
from governance.ledger.reserved import PAID_BY
from governance.ledger.schema import contributions, rounds
from governance.statements import parse_time
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from governance.ledger.standing import Standing

COLUMNS: Final = (
    "round",
    "attempt",
    "site",
    "state",
    "refusal",
    "at_start",
    "at_acceptance",
    "consent_seq",
    "reservation_seq",
    "contribution_seq",
    "trained_in",
)
COVERED: Final = "covered"


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """When a site's consent to an agreement is asked for: as its entry was received."""

    seq: int
    site: str
    agreement: str


@dataclass(frozen=True, slots=True)
class Cover:
    """What stood at a moment: `covered`, or why nothing was permitted."""

    said: str
    consent_seq: int | None


def contributions_covered(
    c: Connection,
    *,
    site: str | None = None,
    round_: int | None = None,
    refused: bool = False,
    page: Page = WHOLE,
) -> Answer:
    """Say of each contribution whether a consent covered its start and its acceptance.

    Args:
        c: The ledger.
        site: This hospital's alone.
        round_: This round's alone.
        refused: Those alone that the coordinator refused.
        page: Which of them to show, by their entries.
    """
    asked = _asked(site, round_, refused=refused)
    made, more = page.cut(c.execute(page.of(asked, contributions.c.seq)).all())
    reserved = {row.seq: int(row.reserved or 0) for row in made}
    started = {row.seq: reserved[row.seq] or _opening(c, row) for row in made}
    moments = [
        Moment(seq, r.site, r.agreement) for r in made for seq in (r.seq, started[r.seq])
    ]
    covers = covered_at(c, moments)
    rows = [_row(row, (reserved[row.seq], started[row.seq]), covers) for row in made]
    counted = _counted(c, asked)
    cut = Cut(len(rows), sum(counted.values()), int(made[-1].seq) if more else None)
    accepted = [row for row in rows if row[3] == "made"]
    bare = [row for row in accepted if {row[5], row[6]} != {COVERED}]
    kept, said = counted.get("made", 0), f"{counted.get('refused', 0)} refused"
    return Answer(
        COLUMNS,
        rows,
        title=f"Contributions: {said}" if refused else f"{kept} contributions accepted, {said}",
        notes=(*_notes(rows, len(bare), of_page=page != WHOLE and more), *cut.notes),
        facts={"accepted_without_consent": len(bare), **cut.facts},
    )


def silent(answer: Answer) -> frozenset[str]:
    """Return the columns that tell eyes nothing: none was refused, none was late."""
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    none_refused = all(row["refusal"] is None for row in rows)
    none_late = all(row["trained_in"] == row["round"] for row in rows)
    said = (("refusal", none_refused), ("trained_in", none_late))
    return frozenset(name for name, is_silent in said if is_silent)


def _notes(rows: Sequence[object], bare: int, *, of_page: bool) -> tuple[str, ...]:
    if not rows:
        return ("There is no such contribution.",)
    if bare:
        return (f"{bare} were accepted without a consent: run verify, it names the first.",)
    which = "Each of these" if of_page else "Each"
    return (f"{which} that was accepted was covered by a consent at both moments.",)


def _counted(c: Connection, asked: Select[Any]) -> dict[str, int]:
    """Return how many there are in each state."""
    same = asked.with_only_columns(contributions.c.state, func.count()).order_by(None)
    rows = c.execute(same.group_by(contributions.c.state))
    return {state: int(times) for state, times in rows}


def _asked(site: str | None, round_: int | None, *, refused: bool) -> Select[Any]:
    question = select(contributions, PAID_BY.label("reserved")).order_by(contributions.c.seq)
    if site is not None:
        question = question.where(contributions.c.site == site)
    if round_ is not None:
        question = question.where(contributions.c.round == round_)
    if refused:
        question = question.where(contributions.c.state == "refused")
    return question


def _opening(c: Connection, row: Row[tuple[object]]) -> int:
    place = (rounds.c.round == row.round, rounds.c.attempt == row.attempt)
    return int(c.execute(select(rounds.c.opened_seq).where(*place)).scalar_one())


def covered_at(c: Connection, moments: Iterable[Moment]) -> Mapping[Moment, Cover]:
    """Return what stood at each of some moments, in one walk over the log."""
    stood = Standings(c)
    return {
        moment: _cover(c, stood.before(moment.seq), moment) for moment in sorted(set(moments))
    }


def _cover(c: Connection, standing: Standing, moment: Moment) -> Cover:
    at = parse_time(received_at(c, moment.seq))
    try:
        held = standing.check_permitted(moment.site, moment.agreement, at)
    except Refused as why:
        return Cover(why.what, None)
    return Cover(COVERED, held.given_seq)


def _row(
    row: Row[tuple[object]], begun: tuple[int, int], covers: Mapping[Moment, Cover]
) -> tuple[object, ...]:
    reserved, started = begun
    accepted = covers[Moment(row.seq, row.site, row.agreement)]
    return (
        row.round,
        row.attempt,
        row.site,
        row.state,
        row.refusal or None,
        covers[Moment(started, row.site, row.agreement)].said,
        accepted.said,
        accepted.consent_seq,
        reserved or None,
        row.seq,
        row.trained_in,
    )
