"""The tables of sums: what so many entries each came to, so that a long record is soon asked.

A row is written once, with the last entry of its span, and never changed. What came after the
last span is summed from the entries' own tables by whoever asks.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)


def define(metadata: MetaData) -> tuple[Table, Table, Table, Table]:
    """Return the tables `tallied`, `spent`, `measured` and `passages` of the ledger's metadata.

    `until_seq` is the last entry of a span. `site` and `agreement` are empty where an entry has
    none; `highest` is the largest ε that was stated, first by the entry `highest_seq`. `said`
    has every value that a span's entries say, once each, in lower case.
    """
    number = BigInteger().with_variant(Integer(), "sqlite")
    tallied = Table(
        "tallied",
        metadata,
        Column("until_seq", number, nullable=False),
        Column("kind", String(32), nullable=False),
        Column("site", String(64), nullable=False),
        Column("agreement", String(64), nullable=False),
        Column("entries", number, nullable=False),
        Column("first_seq", number, nullable=False),
        Column("last_seq", number, nullable=False),
        PrimaryKeyConstraint("until_seq", "kind", "site", "agreement"),
    )
    spent = Table(
        "spent",
        metadata,
        Column("until_seq", number, nullable=False),
        Column("site", String(64), nullable=False),
        Column("cohort", String(64), nullable=False),
        Column("sampling_rate", String(64), nullable=False),
        Column("noise_multiplier", String(64), nullable=False),
        Column("purpose", String(32), nullable=False),
        Column("steps", number, nullable=False),
        Column("reservations", number, nullable=False),
        Column("last_seq", number, nullable=False),
        Column("highest", String(64), nullable=False),
        Column("highest_seq", number, nullable=False),
        PrimaryKeyConstraint(
            *("until_seq", "site", "cohort", "sampling_rate", "noise_multiplier", "purpose")
        ),
    )
    measured = Table(
        "measured",
        metadata,
        Column("until_seq", number, nullable=False),
        Column("site", String(64), nullable=False),
        Column("mechanism", String(32), nullable=False),
        Column("evaluations", number, nullable=False),
        PrimaryKeyConstraint("until_seq", "site", "mechanism"),
    )
    passages = Table(
        "passages",
        metadata,
        Column("until_seq", number, primary_key=True, autoincrement=False),
        Column("said", Text, nullable=False),
    )
    return tallied, spent, measured, passages
