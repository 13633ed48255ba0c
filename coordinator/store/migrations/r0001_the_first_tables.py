"""The coordinator's own tables as the first version has them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables."""
    _members()
    _rounds()
    _masks()


def _members() -> None:
    op.create_table(
        "peers",
        sa.Column("site", sa.String(), primary_key=True),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("site", "seq"),
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("secret_hash", sa.String(), primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("expires", sa.String(), nullable=False),
        sa.Column("used_by", sa.String()),
    )
    op.create_table(
        "pending_acts",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("message", sa.LargeBinary(), nullable=False),
    )


def _rounds() -> None:
    op.create_table(
        "tasks",
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("task", "site"),
    )
    op.create_index("tasks_of_round", "tasks", ["round", "attempt"])
    op.create_table(
        "running",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_size", sa.Integer(), nullable=False),
        sa.Column("strategy_state", sa.String(), nullable=False),
        sa.Column("strategy_state_size", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("candidate_size", sa.Integer(), nullable=False),
        sa.Column("candidate_state", sa.String(), nullable=False),
        sa.Column("candidate_state_size", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column("deadline", sa.String(), nullable=False),
    )
    op.create_table(
        "notes",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )


def _masks() -> None:
    place = ("round", "attempt", "purpose")
    op.create_table(
        "mask_runs",
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint(*place),
    )
    op.create_table(
        "mask_words",
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("said_at", sa.String(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*place, "step", "site"),
    )
