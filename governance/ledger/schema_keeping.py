"""The tables of what is kept: holds, and values that were erased or are asked to be."""

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


def define(metadata: MetaData) -> tuple[Table, Table]:
    """Return the tables `holds` and `erasures` of the ledger's metadata.

    `subject` is as `governance.keeping` says; a hold stands while `lifted_seq` is empty. A
    value is gone once `erased_seq` says by which entry; its owner asked at `asked_seq`.
    """
    number = BigInteger().with_variant(Integer(), "sqlite")
    holds = Table(
        "holds",
        metadata,
        Column("seq", number, primary_key=True, autoincrement=False),
        Column("subject", String(80), nullable=False, index=True),
        Column("lifted_seq", number),
    )
    erasures = Table(
        "erasures",
        metadata,
        Column("entry_seq", number, nullable=False),
        Column("label", String(64), nullable=False),
        Column("asked_seq", number),
        Column("erased_seq", number),
        PrimaryKeyConstraint("entry_seq", "label"),
    )
    return holds, erasures
