"""The tables of exits: who left or was taken out, and each step of what followed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text


def define(metadata: MetaData) -> tuple[Table, Table, Table]:
    """Return the tables `exits`, `exit_steps` and `exit_releases` of the ledger's metadata.

    `scope` and `state` are those of `governance.exits`; `agreement` is empty for all; `rounds`
    is a JSON list. `model` and `state` of a step are where the next round starts, if it moved
    that. `exit_releases` are those that an exit lists; `decision` is empty while one waits,
    `seq` the entry that decided it.
    """
    number = BigInteger().with_variant(Integer(), "sqlite")
    name, digest, word = String(64), String(64), String(32)
    exits = Table(
        "exits",
        metadata,
        Column("seq", number, primary_key=True, autoincrement=False),
        Column("site", name, nullable=False),
        Column("scope", word, nullable=False),
        Column("agreement", digest, nullable=False),
        Column("cause", word, nullable=False),
        Column("asked_by", String(80), nullable=False),
        Column("state", word, nullable=False),
        Column("changed_seq", number, nullable=False),
    )
    exit_steps = Table(
        "exit_steps",
        metadata,
        Column("seq", number, primary_key=True, autoincrement=False),
        Column("exit_seq", number, nullable=False, index=True),
        Column("site", name, nullable=False),
        Column("step", word, nullable=False),
        Column("decision", word, nullable=False),
        Column("rounds", Text, nullable=False),
        Column("model", digest, nullable=False),
        Column("state", digest, nullable=False),
    )
    exit_releases = Table(
        "exit_releases",
        metadata,
        Column("exit_seq", number, primary_key=True, autoincrement=False),
        Column("release", name, primary_key=True),
        Column("decision", word, nullable=False),
        Column("seq", number),
    )
    return exits, exit_steps, exit_releases
