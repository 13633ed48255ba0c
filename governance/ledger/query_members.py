"""What an auditor asks of members: from which round a site took part, and since when again."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, select

from governance.counts import count
from governance.ledger.reading import names_in, received_at
from governance.ledger.schema import entries, rounds
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@dataclass(slots=True)
class _Spell:
    """A run of rounds that a site was asked in, without an end of its part in between."""

    site: str
    how: str
    begun: Row[Any] | None
    first: Row[Any] | None = None
    asked: set[int] = field(default_factory=set)
    ended: Row[Any] | None = None

    def row(self, c: Connection) -> tuple[object, ...]:
        first, begun, ended = self.first, self.begun, self.ended
        return (
            self.site,
            self.how,
            first.round if first is not None else None,
            received_at(c, first.seq) if first is not None else None,
            begun.kind if begun is not None else None,
            begun.seq if begun is not None else None,
            max(self.asked, default=None),
            len(self.asked),
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


def members(c: Connection, *, site: str | None = None) -> Answer:
    """Say from which round each site joined, or came back, and what began and ended its part.

    A site that was only away from its line is not said to have left: its own consent decides.
    """
    parts: dict[str, _Part] = {}
    for asked, course in groupby(_course(c), key=itemgetter(1)):
        run = [row for row, _ in course]
        if asked is None:
            for row in run:
                _happened(parts.setdefault(row.site, _Part()), row)
            continue
        for name in parts.keys() | asked:
            _opened(parts.setdefault(name, _Part()), name, run[0], name in asked)
        # Until something happens, the rounds that ask the same sites say the same of each.
        for name in asked:
            parts[name].spells[-1].asked.update(row.round for row in run)
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
        notes=() if rows else ("There is no such site.",),
        facts={"sites": len(parts), "came_back": back},
    )


def _back(times: int) -> str:
    return (
        f"and {count(times, 'time')} one came back" if times else "of which none ever came back"
    )


def _course(c: Connection) -> Iterator[tuple[Any, tuple[str, ...] | None]]:
    """Yield what began or ended a site's part, and each attempt with the sites it asked."""
    happened = select(entries.c.seq, entries.c.kind, entries.c.site).where(
        entries.c.kind.in_(sorted(_BEGINS | _ENDS)), entries.c.site.is_not(None)
    )
    asked = select(rounds.c.opened_seq.label("seq"), rounds.c.round, rounds.c.sites)
    attempts = c.execute(asked.order_by(rounds.c.opened_seq))
    yield from merge(
        ((row, None) for row in c.execute(happened.order_by(entries.c.seq))),
        ((row, names_in(row.sites)) for row in attempts),
        key=lambda each: each[0].seq,
    )


def _happened(part: _Part, row: Row[Any]) -> None:
    if row.kind in _BEGINS:
        part.begun, part.renewed = row, True
    elif part.spells and part.spells[-1].ended is None:
        part.spells[-1].ended = row


def _opened(part: _Part, name: str, row: Row[Any], asked: bool) -> None:  # noqa: FBT001 - of the row
    if not asked:
        part.missed = True
        return
    last = part.spells[-1] if part.spells else None
    if last is None or last.ended is not None or (part.missed and part.renewed):
        how = "joined" if last is None else "came-back"
        part.spells.append(_Spell(name, how, part.begun, row))
    part.spells[-1].asked.add(row.round)
    part.missed = part.renewed = False
