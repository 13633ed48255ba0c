"""Stores of an older version, migrated before anything else is done with them.

The agent migrates them at its start. A verb does it when no agent runs; beside one that still
runs in the older version it is refused, since that one could not go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from protos.errors import Refused
from site_agent.premises import sole_agent
from site_agent.store import Store, upgrading

if TYPE_CHECKING:
    from datetime import datetime

    from site_agent.premises import Premises

_log = structlog.get_logger("agent")


def bring_up(premises: Premises, *, at: datetime) -> list[str]:
    """Migrate all stores in the folder that this process holds; return what was done.

    Raises:
        Refused: one was used by a newer version, or was made by none.
        Unavailable: one cannot be used, or no copy of it can be kept.
    """
    done = upgrading.bring_up(premises.database, premises.every_copy(), at=at)
    return [one.sentence for one in done]


def open_store(premises: Premises, *, at: datetime) -> Store:
    """Open the site's store for a verb.

    Raises:
        Refused: it is of another version, and cannot be migrated now.
        Unavailable: it cannot be used.
    """
    if not upgrading.are_current(premises.database, premises.every_copy()):
        try:
            with sole_agent(premises):
                bring_up(premises, at=at)
        except Refused as refused:
            if refused.rule != "agent-running":
                raise
            raise Refused(
                "the agent that runs here is of an older version than this program",
                where=str(premises.state),
                todo="Restart it: at its start it migrates the store, and keeps a copy first.",
                rule="store-older",
            ) from None
    return Store.open(premises.database)
