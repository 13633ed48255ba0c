"""Tasks tell whether the ledger was recovered without their round."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Add the column; no task of before was lost."""
    op.add_column("tasks", sa.Column("lost", sa.Integer()))
