"""State rules about whose acts count, what a recovery says of itself, and who accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger import checkpoint, new_log, note, replacing
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
    if entry.body.get("act") == replacing.ACT:
        state.replacing[str(entry.body["name"])] = entry.received_at


def keys(state: State, entry: Entry) -> None:
    """Follow whose keys may be replaced, before an entry takes effect.

    1. A statement of the officer's key is a veto. Stops operators from taking a hospital's name
       away from whoever speaks for it.
    2. A name that is in use is enrolled again only after a replacement that was asked for long
       enough before. Stops a second hospital of one name.
    """
    body, kind = entry.body, entry.statement.kind
    # 1.
    name = state.officers.get(entry.statement.key)
    if name in state.replacing:
        state.replacing[str(name)] = None
    if kind == "key-rotated" and body["usage"] == "officer":
        state.officers[str(body["new"])] = str(body["name"])
    # 2.
    if kind != "enrolled":
        return
    name = str(body["name"])
    if name in state.standing.present:
        asked = state.replacing.pop(name, None)
        if asked is None or entry.received_at < asked + replacing.VETO:
            raise Refused(f"{name} was enrolled already", rule="name-taken")
    state.officers.update((str(key), name) for key in body["officers"])


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
