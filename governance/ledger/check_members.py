"""State rules about who keeps the log: what a recovery says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry
    from governance.ledger.replay import State


def log_recovered(state: State, entry: Entry) -> None:
    """Check that a recovery names its very place; note which entries came without values."""
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
