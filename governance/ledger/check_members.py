"""State rules about who keeps the log: what a recovery says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry
    from governance.ledger.replay import State


def log_recovered(_state: State, entry: Entry) -> None:
    """Check that a recovery names the very place it stands at."""
    said, backup = int(entry.body["size"]), int(entry.body["backup"])
    # 1. Nothing was entered between what was recovered and the word about it. Stops entries
    #    of a second history from passing for recovered ones.
    if said != entry.seq or backup > said:
        raise Refused(
            f"it says that {said} entries were recovered, {backup} of them from a backup, but "
            f"{entry.seq} stand before it",
            rule="recovery-misstated",
        )
