"""What may be disposed of and when: six years after a record was made or last in effect.

The rule is 45 CFR 164.316(b)(2)(i): from its creation or from when it was last in effect,
whichever is later. Entries themselves stay for ever; what is disposed of are disclosed values,
documents and models that belong to them. A legal hold stops all of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, true

from governance import keeping
from governance.consent import ENDED, Consent
from governance.ledger import schema, sums
from governance.ledger.reading import disclosed, received_at
from governance.statements import parse_time, timestamp
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

YEARS: Final = 6
_COLUMNS: Final = (
    *("what", "which", "entries", "values", "created", "in_effect_until", "keep_until"),
    *("state", "holds"),
)
_E: Final = schema.entries
_CONSENT: Final = frozenset(
    {
        *("consent-given", "consent-declined", "consent-objected", "consent-suspended"),
        *("consent-resumed", "consent-withdrawn", "consent-lapsed", "change-acknowledged"),
    }
)
_ENDED_AGREEMENTS: Final = frozenset({"withdrawn", "superseded", "expired", "complete"})


@dataclass(slots=True)
class _Record:
    """What is kept together; `ended` is when it was last in effect, None while it is.

    `first` and `last` are its entries' seqs, `held_by` the subjects that any of them has.
    """

    what: str
    which: str
    first: int
    last: int = 0
    entries: int = 0
    values: int = 0
    created: str = ""
    ended: str | None = None
    held_by: set[str] = field(default_factory=set)
    holds: tuple[str, ...] = ()

    def row(self, now: datetime) -> tuple[object, ...]:
        due = None if self.ended is None else six_years_after(max(self.ended, self.created))
        state = "in-effect" if due is None else "kept" if due > timestamp(now) else "due"
        if self.holds:
            state = "held"
        said = (self.what, self.which, self.entries, self.values, self.created)
        return (*said, self.ended, due, state, ", ".join(self.holds))


@dataclass(frozen=True, slots=True)
class _Group:
    """Entries alike in kind, site and agreement, and how many values are told of them.

    Of one that stands alone, `subjects` are those of which a hold protects it.
    """

    kind: str
    site: str | None
    agreement: str | None
    entries: int
    first: int
    last: int
    told: int
    subjects: frozenset[str] | None = None


_SAME: Final = (_E.c.kind, _E.c.site, _E.c.agreement)


def six_years_after(time: str) -> str:
    """Return the same moment six years on; of a leap day, that of the first of March."""
    moment = parse_time(time)
    year = moment.year + YEARS
    try:
        return timestamp(moment.replace(year=year))
    except ValueError:
        return timestamp(moment.replace(year=year, month=3, day=1))


def retention(c: Connection, *, now: datetime, at: datetime | None = None) -> Answer:
    """Say of every record until when it is kept, and which may be disposed of at a time.

    Args:
        c: A connection.
        now: The time.
        at: The day that is asked about; from it on, what is `due` may be disposed of.
    """
    moment = at or now
    kept = _records(c, timestamp(moment))
    rows = [record.row(moment) for record in kept]
    standing = list(_holds(c))
    gone, asked = _erasures(c)
    counted = Counter(str(row[7]) for row in rows)
    return Answer(
        _COLUMNS,
        rows,
        title=f"What is kept, as of {timestamp(moment)[:10]}: {counted['due']} of {len(rows)} "
        "may be disposed of",
        notes=[*_said(standing, gone, asked)],
        facts={
            "as_of": timestamp(moment),
            "years": YEARS,
            "holds": standing,
            "erased": gone,
            "erasure_requested": asked,
        },
    )


def _records(c: Connection, moment: str) -> list[_Record]:
    """Return every entry in the one record that it belongs to."""
    found: dict[tuple[str, str], _Record] = {}
    holding = _Holding(c)
    for row, place in _groups(c):
        record = found.setdefault(place, _Record(*place, first=row.first))
        record.entries += row.entries
        record.values += row.told
        record.first, record.last = min(record.first, row.first), max(record.last, row.last)
        record.held_by |= holding.of(row)
    ends = _Ends(c, moment)
    for place, record in found.items():
        record.created = received_at(c, record.first)
        newest = received_at(c, record.last) if place[0] == "acts" else None
        record.ended = ends.of(place, newest)
        record.holds = tuple(one for one in holding.standing if one in record.held_by)
    return [found[place] for place in sorted(found)]


def _groups(c: Connection) -> Iterator[tuple[_Group, tuple[str, str]]]:
    """Yield entries alike in kind, site and agreement, with the record that they belong to.

    Where a table names some of a kind, each stands alone; the database counts the others.
    """
    rows = list(_named(c))
    named = {row.seq: (what, str(row.name)) for what, row in rows}
    kinds = sorted({row.kind for _, row in rows})
    told = _told(c)
    for part in sums.tallies(c):
        if part["kind"] not in kinds:
            alike = (part["kind"], part["site"] or None, part["agreement"] or None)
            counted = (int(part["entries"]), int(part["first_seq"]), int(part["last_seq"]))
            # the values of all parts are told at once, and added with the first of them
            yield _Group(*alike, *counted, told.pop(alike, 0)), _place(*alike)
    for row in c.execute(
        select(*_SAME, _E.c.seq, _E.c.round).where(_E.c.kind.in_(kinds)).order_by(_E.c.seq)
    ):
        subjects = keeping.subjects(row.seq, row.site, row.round)
        values = len(disclosed(c, row.seq))
        alike = (row.kind, row.site, row.agreement)
        alone = _Group(*alike, 1, row.seq, row.seq, values, subjects)
        yield alone, named.get(row.seq, _place(*alike))


def _told(c: Connection) -> dict[tuple[str, str | None, str | None], int]:
    """Return how many values are disclosed of entries alike in kind, site and agreement."""
    values = schema.disclosures
    asked = (
        select(*_SAME, func.count().label("told"))
        .outerjoin_from(values, _E, _E.c.seq == values.c.seq)
        .group_by(*_SAME)
    )
    return {(row.kind, row.site, row.agreement): row.told for row in c.execute(asked)}


def _place(kind: str, site: str | None, agreement: str | None) -> tuple[str, str]:
    if kind in _CONSENT:
        return "consent", f"{site} {agreement}"
    return ("acts", kind) if agreement is None else ("agreement", agreement)


def _named(c: Connection) -> Iterator[tuple[str, Any]]:
    """Yield the seqs of members, releases and exits, which no column of an entry names."""
    for what, named, seq in _NAMES:
        asked = select(named.label("name"), seq.label("seq"), _E.c.kind)
        # Of two names in one entry the last counts: the first entry is the coordinator's.
        # An outer join begins with the table that it names first, which is the short one.
        with_kind = asked.outerjoin(_E, _E.c.seq == seq).where(seq.is_not(None))
        for row in c.execute(with_kind.order_by(seq, named)):
            yield what, row


_NAMES: Final = (
    ("exit", schema.exits.c.site, schema.exits.c.seq),
    ("exit", schema.exits.c.site, schema.exits.c.changed_seq),
    ("exit", schema.exit_steps.c.site, schema.exit_steps.c.seq),
    ("release", schema.releases.c.release, schema.releases.c.seq),
    ("release", schema.releases.c.release, schema.releases.c.recalled_seq),
    ("release", schema.handed.c.release, schema.handed.c.seq),
    ("member", schema.keys.c.name, schema.keys.c.from_seq),
    ("member", schema.keys.c.name, schema.keys.c.until_seq),
    ("member", schema.certificates.c.name, schema.certificates.c.seq),
    ("member", schema.revocations.c.name, schema.revocations.c.seq),
)
"""What each record is, the column that names it, and the one with its entry."""


class _Ends:
    """When each record was last in effect, as far as the tables tell."""

    def __init__(self, c: Connection, moment: str) -> None:
        self._c = c
        self._moment = moment

    def of(self, place: tuple[str, str], newest: str | None) -> str | None:
        """Return when a record was last in effect; None while it is."""
        what, which = place
        asked = {
            "agreement": self._agreement,
            "consent": self._consent,
            "release": self._release,
            "member": self._member,
            "exit": self._exit,
        }
        return asked[what](which) if what in asked else newest

    def _at(self, seq: int | None) -> str | None:
        if seq is None:
            return None
        when = select(_E.c.received_at).where(_E.c.seq == seq)
        return str(self._c.execute(when).scalar_one())

    def _agreement(self, digest: str) -> str | None:
        """An agreement whose model is in use is in effect still."""
        known = schema.releases.c
        used = select(known.seq).where(known.agreement == digest, known.state == "published")
        if self._c.execute(used.limit(1)).first() is not None:
            return None
        return self._ended(digest)

    def _ended(self, digest: str) -> str | None:
        known = schema.agreements
        row = self._c.execute(select(known).where(known.c.digest == digest)).first()
        if row is None or row.state not in _ENDED_AGREEMENTS:
            return None
        return self._at(row.changed_seq)

    def _consent(self, which: str) -> str | None:
        site, _, digest = which.partition(" ")
        known = schema.consents
        mine = (known.c.site == site, known.c.agreement == digest)
        row = self._c.execute(select(known).where(*mine)).first()
        if row is None:
            return None
        ends = [row.until] if row.until and row.until <= self._moment else []
        if Consent(row.state) in ENDED:
            ends.append(self._at(row.changed_seq) or "")
        over = self._ended(digest)
        return min([*ends, over] if over is not None else ends, default=None)

    def _release(self, name: str) -> str | None:
        known = schema.releases.c
        asked = select(known.recalled_seq).where(known.release == name)
        return self._at(self._c.execute(asked).scalar())

    def _member(self, name: str) -> str | None:
        """A member who is revoked, or has left, has no key any more."""
        until = schema.keys.c.until_seq
        asked = select(until).where(schema.keys.c.name == name)
        ends = self._c.execute(asked).scalars().all()
        return None if None in ends else self._at(max(ends, default=None))

    def _exit(self, site: str) -> str | None:
        known = schema.exits.c
        asked = select(known.state, known.changed_seq).where(known.site == site)
        rows = self._c.execute(asked.order_by(known.seq)).all()
        if any(row.state != "closed" for row in rows):
            return None
        return self._at(rows[-1].changed_seq)


class _Holding:
    """Which holds that stand protect what, as `keeping.subjects` names it."""

    def __init__(self, c: Connection) -> None:
        self.standing = [one.subject for one in _standing(c)]
        self._alike: dict[tuple[str, str | None, str | None], set[str]] = {}
        for subject in self.standing:
            for row in c.execute(select(*_SAME).where(_protects(subject)).distinct()):
                alike = (row.kind, row.site, row.agreement)
                self._alike.setdefault(alike, set()).add(subject)

    def of(self, group: _Group) -> set[str]:
        """Return the subjects of holds that protect any of some entries."""
        if group.subjects is not None:
            return {one for one in self.standing if one in group.subjects}
        return self._alike.get((group.kind, group.site, group.agreement), set())


def _protects(subject: str) -> ColumnElement[bool]:
    """Return what holds of an entry that a hold on this subject protects."""
    what, _, which = subject.partition("/")
    if what == "site":
        return _E.c.site == which
    if what == "round":
        return _E.c.round == int(which)
    return _E.c.seq == int(which) if what == "entry" else true()


def _standing(c: Connection) -> Iterable[Row[Any]]:
    known = schema.holds
    asked = select(known).where(known.c.lifted_seq.is_(None)).order_by(known.c.seq)
    return c.execute(asked).all()


def _holds(c: Connection) -> Iterator[dict[str, object]]:
    for row in _standing(c):
        reason = disclosed(c, row.seq).get("reason")
        yield {"subject": row.subject, "seq": row.seq, "by": _by(c, row.seq), "reason": reason}


def _by(c: Connection, seq: int) -> str:
    return str(c.execute(select(_E.c.actor).where(_E.c.seq == seq)).scalar_one())


def _erasures(c: Connection) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the values that are gone, and those whose owner waits for that."""
    gone: list[dict[str, object]] = []
    waiting: list[dict[str, object]] = []
    known = schema.erasures.c
    for row in c.execute(select(schema.erasures).order_by(known.entry_seq, known.label)):
        said: dict[str, object] = {"entry": row.entry_seq, "label": row.label}
        said["asked_seq"] = row.asked_seq
        said["asked_by"] = None if row.asked_seq is None else _by(c, row.asked_seq)
        if row.erased_seq is None:
            waiting.append(said)
            continue
        when = select(_E.c.received_at).where(_E.c.seq == row.erased_seq)
        said |= {"erased_seq": row.erased_seq, "by": _by(c, row.erased_seq)}
        said["erased"] = c.execute(when).scalar_one()
        gone.append(said)
    return gone, waiting


def _said(
    standing: Iterable[Mapping[str, object]],
    gone: Iterable[Mapping[str, object]],
    asked: Iterable[Mapping[str, object]],
) -> Iterator[str]:
    yield "Entries stay for ever: what is due are the values, documents and models behind them."
    for one in standing:
        why = f": {one['reason']}" if one["reason"] else ""
        yield f"Under hold: {one['subject']}, since entry {one['seq']} ({one['by']}){why}."
    for one in gone:
        owner = f", asked for by {one['asked_by']}" if one["asked_by"] else ""
        yield (
            f"Erased: {one['entry']}:{one['label']}, by entry {one['erased_seq']} "
            f"({one['by']}{owner})."
        )
    for one in asked:
        yield (
            f"To be erased: {one['entry']}:{one['label']}, asked for by {one['asked_by']} "
            f"(entry {one['asked_seq']})."
        )
