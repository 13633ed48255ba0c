"""What is kept and what is gone: holds, and the values that were erased.

Erasing takes away the salt and the value of one disclosure; the entry that commits to it, and
with it the tree, stay as they are. Every copy that takes the entry in takes its value away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Executable, Row, and_, delete, insert, select, update

from governance import statements
from governance.keeping import subjects
from governance.ledger.project_members import act
from governance.ledger.schema import disclosures, entries, erasures, holds, keys, rounds
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry
    from governance.statements import Statement


class _Value(NamedTuple):
    """A disclosed value's entry: whose it is, and what a hold on it may name."""

    statement: Statement
    site: str | None
    round: int | None


def hold_set(c: Connection, e: Entry) -> list[Executable]:
    """Protect a subject from erasure.

    1. There is such a subject. Stops a hold that protects nothing from being relied on.
    2. No hold on it stands. Stops one lifting from being taken for the other's.
    """
    subject = str(e.body["subject"])
    # 1.
    if not _exists(c, subject, e.seq):
        raise Refused(f"there is no {subject} in this ledger", rule="unknown-subject")
    # 2.
    standing = holding(c, frozenset({subject}))
    if standing is not None:
        raise Refused(
            f"{subject} is under a hold since entry {standing.seq}", rule="held-already"
        )
    return [insert(holds).values(seq=e.seq, subject=subject), act(e, "hold")]


def hold_lifted(c: Connection, e: Entry) -> list[Executable]:
    """End a hold that stands."""
    subject = str(e.body["subject"])
    standing = holding(c, frozenset({subject}))
    if standing is None:
        raise Refused(f"no hold on {subject} stands", rule="not-held")
    mine = holds.c.seq == standing.seq
    return [update(holds).where(mine).values(lifted_seq=e.seq), act(e, "hold")]


def erasure_requested(c: Connection, e: Entry) -> list[Executable]:
    """Note that a hospital asks for a value of its own to be erased.

    1. It disclosed the value itself. Stops one hospital from asking for another's.
    2. It is there, and was not asked for before. Stops a request without an effect.
    """
    value, place = _value(c, e)
    # 1.
    if value.statement.actor != e.statement.actor:
        raise Refused(
            f"entry {place} is of {value.statement.actor}: its value is not this site's",
            rule="not-yours",
        )
    # 2.
    known = erasure(c, place, str(e.body["label"]))
    if known is not None:
        seq = known.erased_seq if known.erased_seq is not None else known.asked_seq
        raise Refused(f"this was asked for before (entry {seq})", rule="erasure-asked")
    row = {"entry_seq": place, "label": e.body["label"], "asked_seq": e.seq}
    return [insert(erasures).values(**row)]


def erased(c: Connection, e: Entry) -> list[Executable]:
    """Take a value away, with its salt.

    1. It was not erased before.
    2. No hold protects it. Stops evidence from being destroyed.
    3. Its owner asked for it. Stops an operator from emptying a hospital's statements.
    """
    value, place = _value(c, e)
    label = str(e.body["label"])
    known = erasure(c, place, label)
    # 1.
    if known is not None and known.erased_seq is not None:
        raise Refused(
            f"it was erased before, by entry {known.erased_seq}", rule="erased-before"
        )
    # 2.
    hold = holding(c, subjects(place, value.site, value.round))
    if hold is not None:
        raise Refused(
            f"it is under a hold: {hold.subject}, since entry {hold.seq}", rule="under-hold"
        )
    # 3.
    if value.statement.actor.startswith("site/") and known is None:
        raise Refused(
            f"it is of {value.statement.actor}, whose officer did not ask for its erasure",
            rule="owner-did-not-ask",
        )
    mine = and_(erasures.c.entry_seq == place, erasures.c.label == label)
    row = {"entry_seq": place, "label": label, "erased_seq": e.seq}
    told = and_(disclosures.c.seq == place, disclosures.c.label == label)
    return [
        insert(erasures).values(**row)
        if known is None
        else update(erasures).where(mine).values(erased_seq=e.seq),
        delete(disclosures).where(told),
        act(e, "erase"),
    ]


def holding(c: Connection, named: frozenset[str]) -> Row[Any] | None:
    """Return the oldest hold that stands on any of these subjects."""
    standing = select(holds).where(holds.c.subject.in_(sorted(named)))
    standing = standing.where(holds.c.lifted_seq.is_(None)).order_by(holds.c.seq)
    return c.execute(standing.limit(1)).first()


def erasure(c: Connection, seq: int, label: str) -> Row[Any] | None:
    """Return what is known of a value's erasure: asked for, done, or None."""
    mine = and_(erasures.c.entry_seq == seq, erasures.c.label == label)
    return c.execute(select(erasures).where(mine)).first()


def _value(c: Connection, e: Entry) -> tuple[_Value, int]:
    """Return the earlier entry that commits to the value which this one names."""
    place, label = int(e.body["entry"]), str(e.body["label"])
    mine = and_(entries.c.seq == place, entries.c.seq < e.seq)
    question = select(entries.c.envelope, entries.c.site, entries.c.round).where(mine)
    row = c.execute(question).first()
    statement = None if row is None else statements.read(row.envelope)
    if row is None or statement is None or label not in statement.commitments:
        raise Refused(f"entry {place} discloses no {label}", rule="no-such-disclosure")
    return _Value(statement, row.site, row.round), place


def _exists(c: Connection, subject: str, before: int) -> bool:
    role, _, name = subject.partition("/")
    if role == "entry":
        return int(name) < before
    if role == "round":
        named = select(rounds.c.round).where(rounds.c.round == int(name))
    elif role == "site":
        named = select(keys.c.name).where(keys.c.name == name, keys.c.role == "site")
    else:
        return True
    return c.execute(named.limit(1)).first() is not None
