"""State rules of what is kept and what is erased; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger.replay import Fault
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from governance.ledger.entry import Entry
    from governance.ledger.replay import State
    from governance.ledger.values import Committed
    from protos.words import Disclosure


def hold_set(state: State, entry: Entry) -> None:
    """Take a hold; two on one subject would let one lifting end both."""
    subject, holds = str(entry.body["subject"]), state.keeping.holds
    if subject in holds:
        raise Refused(
            f"{subject} was under a hold since entry {holds[subject]}", rule="held-already"
        )
    holds[subject] = entry.seq


def hold_lifted(state: State, entry: Entry) -> None:
    """End a hold that stands."""
    subject = str(entry.body["subject"])
    if state.keeping.holds.pop(subject, None) is None:
        raise Refused(f"no hold on {subject} stood", rule="not-held")


def erasure_requested(state: State, entry: Entry) -> None:
    """Take a hospital's request: of its own value, once."""
    place, committed = _value(state, entry)
    if committed.actor != entry.statement.actor:
        raise Refused(f"the value is of {committed.actor}", rule="not-yours")
    if place in state.keeping.asked or place in state.keeping.erased:
        raise Refused("the same was asked for before", rule="erasure-asked")
    state.keeping.asked[place] = entry.seq


def erased(state: State, entry: Entry) -> None:
    """Take an erasure."""
    keeping = state.keeping
    place, committed = _value(state, entry)
    # 1. Once. Stops a second reason from standing for the first.
    if place in keeping.erased:
        raise Refused(f"entry {keeping.erased[place]} had erased it", rule="erased-before")
    # 2. Under no hold. Stops evidence from being destroyed.
    held = committed.subjects & keeping.holds.keys()
    if held:
        raise Refused(f"{min(held)} was under a hold: it destroyed evidence", rule="under-hold")
    # 3. The owner asked. Stops an operator from emptying what a hospital said.
    if committed.actor.startswith("site/") and place not in keeping.asked:
        raise Refused(
            f"{committed.actor} never asked for the erasure of what it disclosed",
            rule="owner-did-not-ask",
        )
    keeping.erased[place] = entry.seq


def disclosed_fault(
    state: State, told: Mapping[int, Sequence[Disclosure]], *, size: int, complete: bool
) -> Fault | None:
    """Return what is wrong with the values that a record discloses, at its end.

    Args:
        state: What follows from its entries.
        told: The values by the seq of their entry.
        size: How many entries there are.
        complete: Whether whoever keeps the record must have every value that was not erased.
    """
    faults = [*_still_there(state, told), *_of_no_entry(told, size)]
    if complete:
        faults += _lost(state, told)
    return min(faults, key=lambda fault: fault.seq, default=None)


def _still_there(state: State, told: Mapping[int, Sequence[Disclosure]]) -> Iterator[Fault]:
    for (seq, label), by in state.keeping.erased.items():
        if any(one.label == label for one in told.get(seq, ())):
            said = f"it erased the {label} of entry {seq}, which is disclosed here still"
            yield Fault(by, "still-disclosed", said)


def _of_no_entry(told: Mapping[int, Sequence[Disclosure]], size: int) -> Iterator[Fault]:
    for seq, values in told.items():
        if not 0 <= seq < size and values:
            said = f"its {values[0].label} is disclosed, and there is no such entry: invented"
            yield Fault(seq, "disclosure-mismatch", said)


def _lost(state: State, told: Mapping[int, Sequence[Disclosure]]) -> Iterator[Fault]:
    for seq, committed in state.keeping.values.items():
        if seq in state.keeping.from_copies:
            continue
        there = {one.label for one in told.get(seq, ())}
        for label in sorted(committed.labels - there):
            if (seq, label) not in state.keeping.erased:
                said = f"the {label} that it discloses is gone, and no entry erased it"
                yield Fault(seq, "disclosure-lost", said)


def _value(state: State, entry: Entry) -> tuple[tuple[int, str], Committed]:
    seq, label = int(entry.body["entry"]), str(entry.body["label"])
    committed = state.keeping.values.get(seq)
    if committed is None or label not in committed.labels:
        raise Refused(f"entry {seq} discloses no {label}", rule="no-such-disclosure")
    return (seq, label), committed
