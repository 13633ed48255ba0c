"""What an auditor asks of members: from which round a site took part, and since when again."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, Select, select, text

from governance.counts import count
from governance.ledger.reading import names_in, received_at
from governance.ledger.schema import entries, keys, rounds
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

_MEMBERS: Final = (
    *("site", "how", "from_round", "since", "because", "because_seq"),
    *("to_round", "rounds", "ended_by", "ended_seq"),
)
_BEGINS: Final = frozenset({"enrolled", "consent-given", "consent-resumed"})
_ENDS: Final = frozenset(
    {
        *("consent-suspended", "consent-objected", "consent-withdrawn", "consent-lapsed"),
        *("exit-requested", "revoked"),
    }
)


@dataclass(frozen=True, slots=True)
class _Run:
    """Attempts one after another that asked the same sites while nothing else happened.

    `seq` opened the first of them; they are of the rounds from `round` to `until`.
    """

    seq: int
    round: int
    until: int
    sites: tuple[str, ...]


@dataclass(slots=True)
class _Spell:
    """A run of rounds that a site was asked in, without an end of its part in between."""

    site: str
    how: str
    begun: Row[Any] | None
    first: _Run | None = None
    last: int | None = None
    rounds: int = 0
    ended: Row[Any] | None = None

    def asked(self, run: _Run) -> None:
        """Add the rounds of a run; one whose attempts are in two runs counts once."""
        self.rounds += run.until - run.round + (run.round != self.last)
        self.last = run.until

    def row(self, c: Connection) -> tuple[object, ...]:
        first, begun, ended = self.first, self.begun, self.ended
        return (
            self.site,
            self.how,
            first.round if first is not None else None,
            received_at(c, first.seq) if first is not None else None,
            begun.kind if begun is not None else None,
            begun.seq if begun is not None else None,
            self.last,
            self.rounds,
            ended.kind if ended is not None else None,
            ended.seq if ended is not None else None,
        )


@dataclass(slots=True)
class _Part:
    """One site's part so far; `missed` and `renewed` count since it was asked last."""

    spells: list[_Spell] = field(default_factory=list)
    begun: Row[Any] | None = None
    missed: bool = False
    renewed: bool = False


def check_known(c: Connection, site: str) -> None:
    """Refuse a site that never was in this log; raises Refused."""
    asked = select(keys.c.name).where(keys.c.role == "site").distinct().order_by(keys.c.name)
    names = c.execute(asked).scalars().all()
    if site not in names:
        known = ", ".join(names)
        raise Refused(
            f"no hospital of the name {site} was ever in this record; in it: {known}",
            rule="no-such-site",
        )


def members(c: Connection, *, site: str | None = None) -> Answer:
    """Say from which round each site joined, or came back, and what began and ended its part.

    A site that was only away from its line is not said to have left: its own consent decides.
    """
    parts: dict[str, _Part] = {}
    for each in _course(c):
        if not isinstance(each, _Run):
            _happened(parts.setdefault(each.site, _Part()), each)
            continue
        for name in parts.keys() | each.sites:
            _opened(parts.setdefault(name, _Part()), name, each)
    rows = [
        spell.row(c)
        for name, part in sorted(parts.items())
        if site in {None, name}
        for spell in part.spells or [_Spell(name, "enrolled", part.begun)]
    ]
    back = sum(1 for row in rows if row[1] == "came-back")
    return Answer(
        _MEMBERS,
        rows,
        title=f"{count(len(parts), 'site')}, {_back(back)}",
        facts={"sites": len(parts), "came_back": back},
    )


def _back(times: int) -> str:
    return (
        f"and {count(times, 'time')} one came back" if times else "of which none ever came back"
    )


def _course(c: Connection) -> Iterator[_Run | Row[Any]]:
    """Yield what began or ended a site's part, and between them the attempts in runs."""
    happened = (
        select(entries.c.seq, entries.c.kind, entries.c.site)
        .where(entries.c.kind.in_(sorted(_BEGINS | _ENDS)), entries.c.site.is_not(None))
        .order_by(entries.c.seq)
    )
    events: list[Row[Any]] = [*c.execute(happened)]
    course: Iterator[_Run | Row[Any]] = merge(_runs(c, events), events, key=_seq)
    yield from course


def _seq(each: Any) -> int:  # noqa: ANN401 - a run or a row
    return int(each.seq)


def _runs(c: Connection, events: Sequence[Row[Any]]) -> Iterator[_Run | Row[Any]]:
    newest = c.execute(_ATTEMPTS.order_by(rounds.c.opened_seq.desc()).limit(1)).first()
    if newest is None:
        return
    starts = merge(_asking_others(c), _after(c, events, newest.seq), key=_seq)
    unique = [one for one, _ in groupby(starts)]
    for row, next_ in pairwise([*unique, None]):
        if row is not None:
            until = int(newest.round) if next_ is None else _before(next_)
            yield _Run(row.seq, row.round, until, names_in(row.sites))


_ATTEMPTS: Final[Select[Any]] = select(
    rounds.c.opened_seq.label("seq"), rounds.c.round, rounds.c.attempt, rounds.c.sites
)


def _asking_others(c: Connection) -> Iterator[Row[Any]]:
    """Yield the attempts that asked other sites than the one before."""
    others = _ATTEMPTS.where(text("alike_seq = opened_seq"))  # as its index says it
    yield from c.execute(others.order_by(rounds.c.opened_seq))


def _after(c: Connection, events: Sequence[Row[Any]], newest: int) -> Iterator[Row[Any]]:
    """Yield the first attempt after each of these entries."""
    opened = -1
    for event in events:
        if opened < event.seq < newest:
            next_ = _ATTEMPTS.where(rounds.c.opened_seq > event.seq)
            row = c.execute(next_.order_by(rounds.c.opened_seq).limit(1)).one()
            opened = row.seq
            yield row


def _before(row: Row[Any]) -> int:
    """Return the round of the attempt before one: numbers follow each other."""
    return int(row.round) if row.attempt > 1 else int(row.round) - 1


def _happened(part: _Part, row: Row[Any]) -> None:
    if row.kind in _BEGINS:
        part.begun, part.renewed = row, True
    elif part.spells and part.spells[-1].ended is None:
        part.spells[-1].ended = row


def _opened(part: _Part, name: str, run: _Run) -> None:
    if name not in run.sites:
        part.missed = True
        return
    last = part.spells[-1] if part.spells else None
    if last is None or last.ended is not None or (part.missed and part.renewed):
        how = "joined" if last is None else "came-back"
        part.spells.append(_Spell(name, how, part.begun, run))
    part.spells[-1].asked(run)
    part.missed = part.renewed = False
