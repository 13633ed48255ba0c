"""State rules about whose acts count, what a recovery says of itself, and who accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger import checkpoint, new_log, note
from governance.ledger.replay import Begun
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry
    from governance.ledger.replay import State


def act(state: State, entry: Entry) -> None:
    """Check that an operator's act counts by the agreement that took force last."""
    binding = state.standing.binding
    # 1. Its operators signed it, two where it says so. Stops an operator whom no hospital
    #    agreed to, and one alone where two must act.
    if binding is not None and binding.operators is not None:
        binding.operators.check(entry.statement)


def log_recovered(state: State, entry: Entry) -> None:
    """Check that a recovery names its very place; note which entries came without values.

    What binds a new log to the one before is checked with the tree, in the walk.
    """
    said, backup = int(entry.body["size"]), int(entry.body["backup"])
    # 1. Nothing was entered between what was recovered and the word about it. Stops entries
    #    of a second history from passing for recovered ones.
    if said != entry.seq or backup > said:
        raise Refused(
            f"it says that {said} entries were recovered, {backup} of them from a backup, but "
            f"{entry.seq} stand before it",
            rule="recovery-misstated",
        )
    state.keeping.from_copies.update(range(backup, said))
    new = new_log.declared(entry) if "last" in entry.body else None
    if new is not None:
        sites = frozenset(state.standing.present)
        state.new_logs.append(Begun(new, state.latest, sites))


def log_accepted(state: State, entry: Entry) -> None:
    """Count a hospital's word that it goes on with a new log."""
    site, begun = entry.actor_name, state.new_logs[-1] if state.new_logs else None
    # 1. It is the new log that was begun last, and accepted once. Stops a word about another
    #    one from being taken for this.
    if begun is None or begun.new.statement != entry.body["declared"]:
        raise Refused(f"{site} accepts a new log that nobody declared", rule="unknown-new-log")
    if site not in begun.sites or site in begun.accepted:
        raise Refused(f"{site} was not asked, or had accepted it", rule="unknown-new-log")
    # 2. It held no more than was declared to be lost. Stops a loss that was told too small.
    if entry.body["held"]:
        head = checkpoint.parse_body(note.parse(str(entry.body["held"])).text)
        new_log.check_within(begun.new, head, site)
    begun.accepted[site] = entry.seq
    state.spending.remember(site, entry.body["spent"])
