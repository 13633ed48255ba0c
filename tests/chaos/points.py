"""The named instructions at which a program of a disturbed federation dies."""

from __future__ import annotations

from crashing import POINTS as COORDINATOR_POINTS
from dying import POINTS as SITE_POINTS
from killing import AFTER, BEFORE, Point

COORDINATOR = {
    **COORDINATOR_POINTS,
    "write-not-committed": Point("coordinator.store.writer.Store", "_commit", BEFORE),
    "write-committed-and-not-told": Point("coordinator.store.writer.Store", "_commit", AFTER),
    "message-being-taken": Point("coordinator.store.outbox", "take", AFTER),
    "message-being-sent": Point("coordinator.store.outbox", "send", AFTER),
    "chunk-of-a-model-not-sent": Point("protos.codec", "chunk_out", BEFORE),
    "chunk-of-a-model-sent": Point("protos.codec", "chunk_out", AFTER),
    "chunk-of-an-update-not-written": Point("coordinator.spool.Writing", "write", BEFORE),
    "chunk-of-an-update-written": Point("coordinator.spool.Writing", "write", AFTER),
    "update-not-durable": Point("coordinator.spool", "_make_durable", BEFORE),
    "update-durable": Point("coordinator.spool", "_make_durable", AFTER),
    "checkpoint-not-written": Point("coordinator.heads", "publish", BEFORE),
    "checkpoint-being-written": Point("governance.ledger.checkpoint", "sign", AFTER),
    "something-not-synced": Point("os", "fsync", BEFORE),
    "something-synced": Point("os", "fsync", AFTER),
    "candidate-refused-or-made": Point("coordinator.campaign", "happen", AFTER),
    "keys-being-brought": Point("coordinator.mask_steps", "bring_keys", AFTER),
    "shares-being-brought": Point("coordinator.mask_steps", "bring_shares", AFTER),
    "consistency-being-asked": Point("coordinator.mask_steps", "ask_consistency", AFTER),
    "shares-being-asked": Point("coordinator.mask_steps", "ask_shares", AFTER),
    "opened-being-recorded": Point("coordinator.mask_steps", "record_opened", AFTER),
    "a-mask-step-being-taken": Point("coordinator.masking", "take", AFTER),
    "masks-taken-off": Point("coordinator.unmasking", "candidate", AFTER),
}
SITE = {
    **{name: death.point for name, death in SITE_POINTS.items()},
    "write-not-begun": Point("site_agent.store.database.Store", "now", BEFORE),
    "write-committed": Point("site_agent.store.database.Store", "now", AFTER),
    "message-not-taken": Point("site_agent.inbox", "take", BEFORE),
    "message-taken-and-not-committed": Point("site_agent.inbox", "take", AFTER),
    "statement-signed": Point("site_agent.voice", "_signed_on", AFTER),
    "model-not-synced": Point("os", "fsync", BEFORE),
    "model-synced": Point("os", "fsync", AFTER),
    "mask-step-not-taken": Point("site_agent.masking", "take", BEFORE),
    "mask-step-taken": Point("site_agent.masking", "take", AFTER),
    "vector-not-made": Point("site_agent.vectors", "_masked", BEFORE),
    "vector-made-and-not-noted": Point("site_agent.vectors", "_masked", AFTER),
    "vector-noted": Point("site_agent.vectors", "_note", AFTER),
    "upload-being-listed": Point("site_agent.store.egress", "record", AFTER),
    "checkpoint-being-cosigned": Point("governance.ledger.checkpoint", "cosign", AFTER),
    "chain-being-mended": Point("site_agent.voice", "resign", AFTER),
    "task-being-decided": Point("site_agent.deciding", "decide", AFTER),
}
FREQUENT = frozenset(
    {
        "write-not-committed",
        "write-committed-and-not-told",
        "message-being-taken",
        "message-being-sent",
        "candidate-refused-or-made",
        "a-mask-step-being-taken",
        "something-not-synced",
        "something-synced",
        "write-not-begun",
        "write-committed",
        "message-not-taken",
        "message-taken-and-not-committed",
        "statement-signed",
        "upload-being-listed",
    }
)
"""Points that are passed many times in a round: one dies at any of them."""
