"""The ledger's tables, triggers and indexes as the first version has them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from governance.ledger.migrations import first_triggers

revision: Final = "0001"
down_revision: Final = None

_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CONTRIBUTED: Final = sa.text("kind = 'contribution-made'")
_REFUSED: Final = sa.text("state = 'refused'")
_ASKS_OTHERS: Final = sa.text("alike_seq = opened_seq")


def upgrade() -> None:
    """Make the tables."""
    _entries()
    _tree()
    _members()
    _agreed()
    _rounds()
    _work()
    _spending()
    _releases()
    _exits()
    _keeping()
    _recovery()
    _sums()
    first_triggers.make()


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("received_at", sa.String(27), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("statement", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("site", sa.String(64)),
        sa.Column("round", _NUMBER),
        sa.Column("attempt", _NUMBER),
        sa.Column("agreement", sa.String(64)),
        sa.Column("signer", sa.String(80), nullable=False),
        sa.Column("counter", _NUMBER, nullable=False),
        sa.UniqueConstraint("signer", "counter"),
        sa.UniqueConstraint("leaf_hash"),
        sa.UniqueConstraint("statement"),
    )
    op.create_index("entries_of_kind", "entries", ["kind", "site", "agreement"])
    op.create_index(
        "one_contribution",
        "entries",
        ["site", "round", "attempt"],
        unique=True,
        sqlite_where=_CONTRIBUTED,
        postgresql_where=_CONTRIBUTED,
    )


def _tree() -> None:
    op.create_table(
        "nodes",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("idx", _NUMBER, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
    )
    op.create_table(
        "cosignatures",
        sa.Column("size", _NUMBER, nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", "site"),
    )
    op.create_index("cosignatures_of_site", "cosignatures", ["site", "size"])
    op.create_table(
        "disclosures",
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("salt", sa.LargeBinary(32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", "label"),
    )


def _members() -> None:
    op.create_table(
        "keys",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("usage", sa.String(32), nullable=False),
        sa.Column("key_id", sa.String(80), primary_key=True),
        sa.Column("from_seq", _NUMBER, nullable=False),
        sa.Column("until_seq", _NUMBER),
    )
    op.create_index("keys_of_name", "keys", ["name"])
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("not_after", sa.String(27), nullable=False),
        sa.Column("seq", _NUMBER, nullable=False),
    )
    op.create_table(
        "revocations",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("seq", _NUMBER, nullable=False),
    )


def _agreed() -> None:
    op.create_table(
        "agreements",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("material", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("proposed_seq", _NUMBER, nullable=False),
        sa.Column("changed_seq", _NUMBER, nullable=False),
    )
    op.create_table(
        "consents",
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("material", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("cohort", sa.String(64), nullable=False),
        sa.Column("declared_patients", _NUMBER, nullable=False),
        sa.Column("cap", sa.String(64), nullable=False),
        sa.Column("delta", sa.String(64), nullable=False),
        sa.Column("until", sa.String(35), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("stops_in_round", _NUMBER, nullable=False),
        sa.Column("given_seq", _NUMBER, nullable=False),
        sa.Column("signed_seq", _NUMBER, nullable=False),
        sa.Column("changed_seq", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("site", "agreement"),
    )
    op.create_table(
        "patient_counts",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("cohort", sa.String(64), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("patients", sa.String(64), nullable=False),
    )
    op.create_index("patient_counts_of_site", "patient_counts", ["site"])


def _rounds() -> None:
    op.create_table(
        "rounds",
        sa.Column("round", _NUMBER, nullable=False),
        sa.Column("attempt", _NUMBER, nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("opened_seq", _NUMBER, nullable=False),
        sa.Column("ended_seq", _NUMBER),
        sa.Column("model_in", sa.String(64), nullable=False),
        sa.Column("model_out", sa.String(64)),
        sa.Column("state_in", sa.String(64), nullable=False),
        sa.Column("state_out", sa.String(64)),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("sites_in", sa.Text()),
        sa.Column("sites_out", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("undone_seq", _NUMBER),
        sa.Column("alike_seq", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("round", "attempt"),
    )
    op.create_index("rounds_opened", "rounds", ["opened_seq"])
    op.create_index(
        "rounds_asking_others",
        "rounds",
        ["opened_seq"],
        sqlite_where=_ASKS_OTHERS,
        postgresql_where=_ASKS_OTHERS,
    )


def _work() -> None:
    op.create_table(
        "contributions",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("round", _NUMBER, nullable=False),
        sa.Column("attempt", _NUMBER, nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("update_digest", sa.String(64), nullable=False),
        sa.Column("made_of", sa.String(64), nullable=False),
        sa.Column("trained_in", _NUMBER, nullable=False),
        sa.Column("size_bytes", _NUMBER, nullable=False),
        sa.Column("base", sa.String(64), nullable=False),
        sa.Column("steps", _NUMBER, nullable=False),
        sa.Column("epsilon", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("refusal", sa.String(64), nullable=False),
    )
    op.create_index("contributions_of_round", "contributions", ["round", "attempt", "site"])
    op.create_index(
        "contributions_refused",
        "contributions",
        ["seq"],
        sqlite_where=_REFUSED,
        postgresql_where=_REFUSED,
    )
    op.create_table(
        "evaluations",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("round", _NUMBER, nullable=False),
        sa.Column("attempt", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("mechanism", sa.String(32), nullable=False),
    )
    op.create_index("evaluations_of_round", "evaluations", ["round", "attempt", "site"])


def _spending() -> None:
    op.create_table(
        "reservations",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("cohort", sa.String(64), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("round", _NUMBER, nullable=False),
        sa.Column("attempt", _NUMBER, nullable=False),
        sa.Column("sampling_rate", sa.String(64), nullable=False),
        sa.Column("noise_multiplier", sa.String(64), nullable=False),
        sa.Column("clip", sa.String(64), nullable=False),
        sa.Column("expected_batch", sa.String(64), nullable=False),
        sa.Column("steps", _NUMBER, nullable=False),
        sa.Column("delta", sa.String(64), nullable=False),
        sa.Column("epsilon_total", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
    )
    op.create_index("reservations_of_round", "reservations", ["site", "round", "attempt"])
    op.create_index("reservations_of_task", "reservations", ["site", "task"])


def _releases() -> None:
    op.create_table(
        "releases",
        sa.Column("release", sa.String(64), primary_key=True),
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("round", _NUMBER, nullable=False),
        sa.Column("attempt", _NUMBER, nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("card", sa.String(64), nullable=False),
        sa.Column("rounds", sa.Text(), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("recalled_seq", _NUMBER),
    )
    op.create_table(
        "handed",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("how", sa.String(32), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
    )
    op.create_index("handed_of_release", "handed", ["release"])
    op.create_table(
        "acts",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("operator", sa.String(64), nullable=False),
        sa.Column("act", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )


def _exits() -> None:
    op.create_table(
        "exits",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(32), nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("asked_by", sa.String(80), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("changed_seq", _NUMBER, nullable=False),
    )
    op.create_table(
        "exit_steps",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("exit_seq", _NUMBER, nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("rounds", sa.Text(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
    )
    op.create_index("ix_exit_steps_exit_seq", "exit_steps", ["exit_seq"])
    op.create_table(
        "exit_releases",
        sa.Column("exit_seq", _NUMBER, nullable=False),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("seq", _NUMBER),
        sa.PrimaryKeyConstraint("exit_seq", "release"),
    )


def _keeping() -> None:
    op.create_table(
        "holds",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("lifted_seq", _NUMBER),
    )
    op.create_index("ix_holds_subject", "holds", ["subject"])
    op.create_table(
        "erasures",
        sa.Column("entry_seq", _NUMBER, nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("asked_seq", _NUMBER),
        sa.Column("erased_seq", _NUMBER),
        sa.PrimaryKeyConstraint("entry_seq", "label"),
    )


def _recovery() -> None:
    op.create_table(
        "acceptances",
        sa.Column("declared_seq", _NUMBER, nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("accepted_seq", _NUMBER),
        sa.Column("held", _NUMBER),
        sa.PrimaryKeyConstraint("declared_seq", "site"),
    )


def _sums() -> None:
    op.create_table(
        "tallied",
        sa.Column("until_seq", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("agreement", sa.String(64), nullable=False),
        sa.Column("entries", _NUMBER, nullable=False),
        sa.Column("first_seq", _NUMBER, nullable=False),
        sa.Column("last_seq", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("until_seq", "kind", "site", "agreement"),
    )
    cohort = ("site", "cohort", "sampling_rate", "noise_multiplier")
    op.create_table(
        "spent",
        sa.Column("until_seq", _NUMBER, nullable=False),
        *(sa.Column(name, sa.String(64), nullable=False) for name in cohort),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("steps", _NUMBER, nullable=False),
        sa.Column("reservations", _NUMBER, nullable=False),
        sa.Column("last_seq", _NUMBER, nullable=False),
        sa.Column("highest", sa.String(64), nullable=False),
        sa.Column("highest_seq", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("until_seq", *cohort, "purpose"),
    )
    op.create_table(
        "measured",
        sa.Column("until_seq", _NUMBER, nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("mechanism", sa.String(32), nullable=False),
        sa.Column("evaluations", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("until_seq", "site", "mechanism"),
    )
    op.create_table(
        "passages",
        sa.Column("until_seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("said", sa.Text(), nullable=False),
    )
