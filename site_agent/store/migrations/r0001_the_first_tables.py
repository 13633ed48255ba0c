"""The site's store as the first version has it."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables."""
    _said()
    _agreed()
    _work()
    _masks()
    _spending()


def _said() -> None:
    op.create_table(
        "journal",
        sa.Column("place", sa.Integer(), primary_key=True),
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("disclosures", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer()),
        sa.Column("rule", sa.String(), nullable=False),
        sa.UniqueConstraint("federation", "digest"),
    )
    for name, columns in {
        "journal_of_key": ["federation", "key", "status", "counter"],
        "journal_of_kind": ["federation", "kind"],
        "journal_of_agreement": ["federation", "agreement", "kind"],
        "journal_of_task": ["federation", "task"],
        "journal_of_seq": ["federation", "seq"],
    }.items():
        op.create_index(name, "journal", columns)
    op.create_table(
        "outbox",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("rule", sa.String()),
        sa.PrimaryKeyConstraint("federation", "seq"),
    )
    op.create_table(
        "sent",
        sa.Column("place", sa.Integer(), primary_key=True),
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("readers", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("round", sa.Integer()),
        sa.Column("messages", sa.Integer()),
        sa.Column("content", sa.LargeBinary()),
    )
    op.create_index("sent_at", "sent", ["at", "bytes"])
    op.create_index("sent_of_kind", "sent", ["federation", "kind", "rule", "at"])
    op.create_index("sent_of_round", "sent", ["federation", "round"])


def _agreed() -> None:
    op.create_table(
        "agreements",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("material", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("received_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("federation", "digest"),
    )
    op.create_table(
        "notes",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("federation", "name"),
    )
    op.create_table(
        "opt_outs",
        sa.Column("cohort", sa.String(), nullable=False),
        sa.Column("patient", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("cohort", "patient"),
    )


def _work() -> None:
    op.create_table(
        "tasks",
        sa.Column("place", sa.Integer(), primary_key=True),
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("update_digest", sa.String(), nullable=False),
        sa.Column("update_size", sa.Integer(), nullable=False),
        sa.Column("update_path", sa.String(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer()),
        sa.UniqueConstraint("federation", "task"),
    )
    op.create_index("tasks_of_state", "tasks", ["federation", "state"])
    op.create_index("tasks_of_round", "tasks", ["federation", "round"])
    op.create_table(
        "controls",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("residual", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("federation", "agreement", "round", "attempt"),
    )


def _masks() -> None:
    op.create_table(
        "masks",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("minimum_sites", sa.Integer(), nullable=False),
        sa.Column("seed", sa.LargeBinary()),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("peers", sa.LargeBinary()),
        sa.Column("delivered", sa.LargeBinary()),
        sa.Column("survivors", sa.LargeBinary()),
        sa.Column("sent", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("federation", "task"),
    )


def _spending() -> None:
    op.create_table(
        "reservations",
        sa.Column("federation", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("cohort", sa.String(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sampling_rate", sa.Float(), nullable=False),
        sa.Column("noise_multiplier", sa.Float(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=False),
        sa.Column("epsilon_total", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("federation", "task"),
    )
