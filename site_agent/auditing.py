"""This site's journal against the ledger: what was dropped, changed or invented in its name.

The journal holds every statement that a key of this site signed; the copy of the ledger is what
the coordinator has shown, verified entry by entry. Where the two differ, the journal is the
site's own evidence: it has the signed bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.counts import count
from governance.ledger import store as ledger
from governance.terminal import Answer
from site_agent import evidence
from site_agent.store import in_our_name, journal
from site_agent.store.copy import Copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from governance.ledger.store import Own
    from site_agent.membership import Membership
    from site_agent.store.journal import Said


class Found(enum.Enum):
    """How the ledger differs from what this site signed."""

    DROPPED = "dropped"
    CHANGED = "changed"
    INVENTED = "invented"


MEANINGS: Final[Mapping[Found, str]] = {
    Found.DROPPED: "the coordinator said that the ledger holds it, and it does not",
    Found.CHANGED: "another statement stands in the place of the one that this site signed",
    Found.INVENTED: "this site never signed it",
}


NOT_IN_LEDGER: Final = "not-in-ledger"
"""The journal's word for a statement that a receipt promised and the ledger then lacked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; `seq` is where it stands or should stand in the ledger."""

    seq: int
    found: Found
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the ledger says of this site.

    Attributes:
        size: How many entries the copy has.
        own: The entries in this site's name.
        counted: Where rounds closed with its update inside: seq by (round, attempt).
    """

    size: int
    own: Sequence[Own]
    counted: Mapping[tuple[int, int], int]


def compared(said: Sequence[Said], shown: Shown) -> list[Finding]:
    """Return every difference between a journal and a ledger, in order of the ledger."""
    found = [*_not_ours(said, shown), *_gone(said, shown), *_counted(said, shown)]
    return sorted(found, key=lambda one: (one.seq, one.found.value))


def _not_ours(said: Sequence[Said], shown: Shown) -> Iterator[Finding]:
    signed = {one.statement.digest for one in said}
    places = {(one.statement.key, one.statement.counter) for one in said}
    for entry in shown.own:
        if entry.statement in signed:
            continue
        taken = (entry.signer, entry.counter) in places
        found = Found.CHANGED if taken else Found.INVENTED
        yield Finding(entry.seq, found, entry.kind, MEANINGS[found])


def _gone(said: Sequence[Said], shown: Shown) -> Iterator[Finding]:
    there = {entry.statement for entry in shown.own}
    for one in said:
        if one.statement.digest in there:
            continue
        promised = one.status == journal.ACCEPTED and one.seq is not None
        if promised and (one.seq or 0) < shown.size:
            why = MEANINGS[Found.DROPPED]
            yield Finding(one.seq or 0, Found.DROPPED, one.statement.kind, why)
        elif one.rule == NOT_IN_LEDGER:
            why = f"{MEANINGS[Found.DROPPED]}; this site signed it again"
            yield Finding(shown.size, Found.DROPPED, one.statement.kind, why)


def _counted(said: Sequence[Said], shown: Shown) -> Iterator[Finding]:
    made = {
        (one.statement.body["round"], one.statement.body["attempt"])
        for one in said
        if one.statement.kind == "contribution-made"
    }
    for place, seq in sorted(shown.counted.items()):
        if place not in made:
            why = f"it counts an update of this site in round {place[0]}, which sent none"
            yield Finding(seq, Found.INVENTED, "round-closed", why)


def audit(m: Membership, folder: Path | None = None) -> tuple[Answer, bool]:
    """Hold the journal against the copy; return the answer, and whether anything was found.

    Args:
        m: The federation.
        folder: Where to write evidence: both notes of an alarm, and this site's copy.
    """
    copy = Copy.open(m.premises.copy_of(m.federation))
    try:
        shown = copy.now(
            lambda c: Shown(
                ledger.size_of(c),
                in_our_name.entries_of(c, m.voice.actor),
                in_our_name.counted_in(c, m.site),
            )
        )
        said, alarm = m.store.look(
            lambda c: (journal.every(c, m.federation), evidence.found(c, m.federation))
        )
        wrote = []
        if folder is not None:
            copy.now(lambda c: evidence.write(c, folder, alarm))
            wrote.append(f"Wrote {folder}: its README says how others check it.")
    finally:
        copy.close()
    findings = compared(said, shown)
    notes = [_compared_what(said, shown)]
    if not findings:
        notes.append("Nothing was dropped, changed or invented.")
    notes += evidence.sentences(alarm) if alarm is not None else []
    answer = Answer(
        columns=("seq", "found", "kind", "why"),
        rows=[(one.seq, one.found.value, one.kind, one.why) for one in findings],
        title=f"The ledger of {m.federation} against {m.site}'s journal",
        notes=[*notes, *wrote],
        facts={"statements": len(said), "own_entries": len(shown.own), "size": shown.size},
    )
    return answer, bool(findings) or alarm is not None


def _compared_what(said: Sequence[Said], shown: Shown) -> str:
    return (
        f"{count(len(said), 'statement')} of this site's journal compared with "
        f"{len(shown.own)} in its name among {count(shown.size, 'entry')} of the ledger."
    )
