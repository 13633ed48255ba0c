"""A coordinator that is killed at a named instruction, or interrupted.

Run as `python crashing.py POINT FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from killing import AFTER, BEFORE, HANGS, INTERRUPTED, Point, plant

POINTS = {
    "agreement-being-put-in-force": Point("coordinator.heads", "publish", BEFORE),
    "round-being-opened": Point("coordinator.campaign", "open_round", AFTER),
    "update-whole-and-not-in-the-ledger": Point("coordinator.uploads", "enter", BEFORE, 2),
    "update-in-the-ledger-and-not-committed": Point("coordinator.uploads", "enter", AFTER, 2),
    "receipt-not-sent": Point("protos.codec", "receipt_out", BEFORE, 2),
    "last-receipt-not-sent": Point("protos.codec", "receipt_out", BEFORE, 3),
    "sum-not-made": Point("coordinator.aggregate", "aggregate", BEFORE),
    "sum-made-and-not-known": Point("coordinator.aggregate", "aggregate", AFTER),
    "candidate-being-noted": Point("coordinator.store.roundbook", "candidate", AFTER),
    "gate-being-asked": Point("coordinator.gate", "judge", BEFORE),
    "round-closed-and-not-committed": Point("coordinator.heads", "publish", AFTER, 2),
    "round-closed-and-updates-not-deleted": Point(
        "coordinator.spool.Spool", "delete_attempt", BEFORE
    ),
    "agreement-being-completed": Point("coordinator.ending", "complete", AFTER),
}
OTHER_POINTS = {
    "interrupted-before-the-store-opens": Point(
        "coordinator.foundation.Foundation", "open", INTERRUPTED
    ),
    "interrupted-before-it-listens": Point("coordinator.service", "make_server", INTERRUPTED),
    "a-sum-that-takes-for-ever": Point("coordinator.aggregate", "aggregate", HANGS),
}


if __name__ == "__main__":
    from coordinator import cli, service  # noqa: F401 - every module is there to be wrapped

    point, folder = sys.argv[1:]
    plant({**POINTS, **OTHER_POINTS}[point])
    sys.argv = ["concilium-coordinator", "serve", "--folder", folder]
    cli.main()
