"""What may be disposed of and when: six years after a record was made or last in effect.

The rule is 45 CFR 164.316(b)(2)(i): from its creation or from when it was last in effect,
whichever is later. Entries themselves stay for ever; what is disposed of are disclosed values,
documents and models that belong to them. A legal hold stops all of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import keeping
from governance.consent import ENDED, Consent
from governance.ledger import schema
from governance.ledger.reading import disclosed
from governance.statements import parse_time, timestamp
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

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
    """What is kept together; `ended` is when it was last in effect, None while it is."""

    what: str
    which: str
    ended: str | None
    seqs: list[int]
    created: str = ""
    values: int = 0
    holds: tuple[str, ...] = ()

    def row(self, now: datetime) -> tuple[object, ...]:
        due = None if self.ended is None else six_years_after(max(self.ended, self.created))
        state = "in-effect" if due is None else "kept" if due > timestamp(now) else "due"
        if self.holds:
            state = "held"
        said = (self.what, self.which, len(self.seqs), self.values, self.created)
        return (*said, self.ended, due, state, ", ".join(self.holds))


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
    rows = c.execute(
        select(_E.c.seq, _E.c.kind, _E.c.actor, _E.c.site, _E.c.agreement, _E.c.round)
        .add_columns(_E.c.received_at)
        .order_by(_E.c.seq)
    ).all()
    named = dict(_named(c))
    told = Counter(c.execute(select(schema.disclosures.c.seq)).scalars())
    ends = _Ends(c, moment)
    found: dict[tuple[str, str], _Record] = {}
    subjects: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        place = _place(row, named)
        record = found.setdefault(place, _Record(*place, ended=None, seqs=[]))
        record.seqs.append(row.seq)
        record.values += told[row.seq]
        record.created = record.created or row.received_at
        if place[0] == "acts":
            record.ended = row.received_at
        subjects.setdefault(place, set()).update(keeping.subjects(row.seq, row.site, row.round))
    standing = [one.subject for one in _standing(c)]
    for place, record in found.items():
        record.ended = ends.of(place, record.ended)
        record.holds = tuple(one for one in standing if one in subjects[place])
    return [found[place] for place in sorted(found)]


def _place(row: Row[Any], named: Mapping[int, tuple[str, str]]) -> tuple[str, str]:
    if row.seq in named:
        return named[row.seq]
    if row.kind in _CONSENT:
        return "consent", f"{row.site} {row.agreement}"
    if row.agreement is not None:
        return "agreement", str(row.agreement)
    return "acts", row.kind


def _named(c: Connection) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the seqs of members, releases and exits, which no column of an entry names."""
    for what, named, seq in _NAMES:
        for row in c.execute(select(named, seq.label("seq")).where(seq.is_not(None))):
            yield row.seq, (what, str(row[0]))


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
        known = schema.revocations.c
        asked = select(known.seq).where(known.name == name)
        return self._at(self._c.execute(asked).scalar())

    def _exit(self, site: str) -> str | None:
        known = schema.exits.c
        asked = select(known.state, known.changed_seq).where(known.site == site)
        rows = self._c.execute(asked.order_by(known.seq)).all()
        if any(row.state != "closed" for row in rows):
            return None
        return self._at(rows[-1].changed_seq)


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
