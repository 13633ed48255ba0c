"""The tables of the coordinator's own state; they lie beside the ledger's in one database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata: Final = MetaData()

peers = Table(
    "peers",
    metadata,
    Column("site", String, primary_key=True),
    Column("sent", Integer, nullable=False, default=0),
    Column("taken", Integer, nullable=False, default=0),
)
outbox = Table(
    "outbox",
    metadata,
    Column("site", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("message", LargeBinary, nullable=False),
)
documents = Table(
    "documents",
    metadata,
    Column("digest", String, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)
invitations = Table(
    "invitations",
    metadata,
    Column("secret_hash", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("name", String, nullable=False),
    Column("expires", String, nullable=False),
    Column("used_by", String),
)
pending_acts = Table(
    "pending_acts",
    metadata,
    Column("digest", String, primary_key=True),
    Column("message", LargeBinary, nullable=False),
)
tasks = Table(
    "tasks",
    metadata,
    Column("task", String, primary_key=True),
    Column("site", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False, default=""),
    Index("tasks_of_round", "round", "attempt"),
)
running = Table(
    "running",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("agreement", String, nullable=False),
    Column("state", String, nullable=False),
    Column("model", String, nullable=False),
    Column("model_size", Integer, nullable=False),
    Column("strategy_state", String, nullable=False),
    Column("strategy_state_size", Integer, nullable=False),
    Column("candidate", String, nullable=False, default=""),
    Column("candidate_size", Integer, nullable=False, default=0),
    Column("candidate_state", String, nullable=False, default=""),
    Column("candidate_state_size", Integer, nullable=False, default=0),
    Column("opened_at", String, nullable=False),
    Column("deadline", String, nullable=False),
)
mask_runs = Table(
    "mask_runs",
    metadata,
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("terms", LargeBinary, nullable=False),
    Column("step", String, nullable=False, default=""),
)
"""`step` is what a sum of figures waits for; one of updates stands where its round does."""
mask_words = Table(
    "mask_words",
    metadata,
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("site", String, primary_key=True),
    Column("said_at", String, nullable=False),
    Column("message", LargeBinary, nullable=False),
)
notes = Table(
    "notes",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
