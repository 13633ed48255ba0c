"""The table of who must accept a new log, and who did."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
)


def define(metadata: MetaData) -> Table:
    """Return the table `acceptances` of the ledger's metadata.

    A row for each hospital that was enrolled when a new log began with `declared_seq`; it is
    asked nothing until `accepted_seq` says by which entry it accepted. `held` is the size of
    the last head that it held of the log before.
    """
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Table(
        "acceptances",
        metadata,
        Column("declared_seq", number, nullable=False),
        Column("site", String(64), nullable=False),
        Column("accepted_seq", number),
        Column("held", number),
        PrimaryKeyConstraint("declared_seq", "site"),
    )
