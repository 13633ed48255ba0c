"""The ledger's tables: what is appended for ever, and what is a projection of it.

`entries`, `nodes`, `checkpoints` and `cosignatures` only ever grow; triggers see to it.
`disclosures` can be erased. All other tables follow from the entries and can be rebuilt.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from governance.ledger import (
    schema_exits,
    schema_keeping,
    schema_recovery,
    schema_sums,
    triggers,
)

metadata: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
_DIGEST: Final = String(64)
_NAME: Final = String(64)
_KEY: Final = String(80)
_WORD: Final = String(32)
_TIME: Final = String(27)


def _seq() -> Column[int]:
    return Column("seq", _NUMBER, primary_key=True, autoincrement=False)


entries: Final = Table(
    "entries",
    metadata,
    _seq(),
    Column("received_at", _TIME, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False, unique=True),
    Column("statement", _DIGEST, nullable=False, unique=True),
    Column("kind", _WORD, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("site", _NAME),
    Column("round", _NUMBER),
    Column("attempt", _NUMBER),
    Column("agreement", _DIGEST),
    Column("signer", _KEY, nullable=False),
    Column("counter", _NUMBER, nullable=False),
    UniqueConstraint("signer", "counter"),
)
"""`statement` is the payload's SHA-256; the columns after it are derived from the envelope."""

_CONTRIBUTED: Final = text("kind = 'contribution-made'")
Index(
    "one_contribution",
    entries.c.site,
    entries.c.round,
    entries.c.attempt,
    unique=True,
    sqlite_where=_CONTRIBUTED,
    postgresql_where=_CONTRIBUTED,
)
Index("entries_of_kind", entries.c.kind, entries.c.site, entries.c.agreement)

nodes: Final = Table(
    "nodes",
    metadata,
    Column("level", Integer, nullable=False),
    Column("idx", _NUMBER, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    PrimaryKeyConstraint("level", "idx"),
    sqlite_with_rowid=False,
)
"""Roots of the complete subtrees: level 0 are the leaves, `idx` counts from the left."""

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
)

cosignatures: Final = Table(
    "cosignatures",
    metadata,
    Column("size", _NUMBER, nullable=False),
    Column("site", _NAME, nullable=False),
    Column("line", Text, nullable=False),
    PrimaryKeyConstraint("size", "site"),
    Index("cosignatures_of_site", "site", "size"),
)

disclosures: Final = Table(
    "disclosures",
    metadata,
    Column("seq", _NUMBER, nullable=False),
    Column("label", _NAME, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("seq", "label"),
)

keys: Final = Table(
    "keys",
    metadata,
    Column("name", _NAME, nullable=False),
    Column("role", _WORD, nullable=False),
    Column("usage", _WORD, nullable=False),
    Column("key_id", _KEY, primary_key=True),
    Column("from_seq", _NUMBER, nullable=False),
    Column("until_seq", _NUMBER),
    Index("keys_of_name", "name"),
)
"""A key serves one name and one usage for ever. It counts for entries with from_seq <= seq <=
until_seq: the first one brought it in, the last one ended it."""

certificates: Final = Table(
    "certificates",
    metadata,
    Column("serial", String(64), primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("role", _WORD, nullable=False),
    Column("fingerprint", _DIGEST, nullable=False),
    Column("not_after", _TIME, nullable=False),
    Column("seq", _NUMBER, nullable=False),
)

revocations: Final = Table(
    "revocations",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("seq", _NUMBER, nullable=False),
)

agreements: Final = Table(
    "agreements",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("material", _DIGEST, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("proposed_seq", _NUMBER, nullable=False),
    Column("changed_seq", _NUMBER, nullable=False),
)

consents: Final = Table(
    "consents",
    metadata,
    Column("site", _NAME, nullable=False),
    Column("agreement", _DIGEST, nullable=False),
    Column("material", _DIGEST, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("cohort", _NAME, nullable=False),
    Column("declared_patients", _NUMBER, nullable=False),
    Column("cap", _NAME, nullable=False),
    Column("delta", _NAME, nullable=False),
    Column("until", String(35), nullable=False),
    Column("purposes", Text, nullable=False),
    Column("stops_in_round", _NUMBER, nullable=False),
    Column("given_seq", _NUMBER, nullable=False),
    Column("signed_seq", _NUMBER, nullable=False),
    Column("changed_seq", _NUMBER, nullable=False),
    PrimaryKeyConstraint("site", "agreement"),
)
"""`purposes` is a JSON list. A site that only declined has empty terms, and given_seq is then
the seq of declining. `signed_seq` is what an officer signed: where a change was acknowledged,
the consent before, which holds on."""

patient_counts: Final = Table(
    "patient_counts",
    metadata,
    _seq(),
    Column("site", _NAME, nullable=False),
    Column("agreement", _DIGEST, nullable=False),
    Column("cohort", _NAME, nullable=False),
    Column("what", _WORD, nullable=False),
    Column("patients", _NAME, nullable=False),
    Index("patient_counts_of_site", "site"),
)
"""`what` is declared or left-out; `patients` is a number in tens, or `some`."""

_REFUSED: Final = text("state = 'refused'")

rounds: Final = Table(
    "rounds",
    metadata,
    Column("round", _NUMBER, nullable=False),
    Column("attempt", _NUMBER, nullable=False),
    Column("agreement", _DIGEST, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("opened_seq", _NUMBER, nullable=False),
    Column("ended_seq", _NUMBER),
    Column("model_in", _DIGEST, nullable=False),
    Column("model_out", _DIGEST),
    Column("state_in", _DIGEST, nullable=False),
    Column("state_out", _DIGEST),
    Column("sites", Text, nullable=False),
    Column("sites_in", Text),
    Column("sites_out", Text),
    Column("reason", Text),
    Column("undone_seq", _NUMBER),
    Column("alike_seq", _NUMBER, nullable=False),
    PrimaryKeyConstraint("round", "attempt"),
    Index("rounds_opened", "opened_seq"),
)
"""`sites` and `sites_in` are JSON lists, `sites_out` a JSON object site → reason;
`undone_seq` is the step of an exit that went back to before this round; `alike_seq` is where
the first attempt was opened of those in a row that asked the same sites."""

_ASKS_OTHERS: Final = text("alike_seq = opened_seq")
Index(
    "rounds_asking_others",
    rounds.c.opened_seq,
    sqlite_where=_ASKS_OTHERS,
    postgresql_where=_ASKS_OTHERS,
)

contributions: Final = Table(
    "contributions",
    metadata,
    _seq(),
    Column("site", _NAME, nullable=False),
    Column("round", _NUMBER, nullable=False),
    Column("attempt", _NUMBER, nullable=False),
    Column("agreement", _DIGEST, nullable=False),
    Column("update_digest", _DIGEST, nullable=False),
    Column("made_of", _DIGEST, nullable=False),
    Column("trained_in", _NUMBER, nullable=False),
    Column("size_bytes", _NUMBER, nullable=False),
    Column("base", _DIGEST, nullable=False),
    Column("steps", _NUMBER, nullable=False),
    Column("epsilon", _NAME, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("refusal", _NAME, nullable=False),
    Index("contributions_of_round", "round", "attempt", "site"),
)

reservations: Final = Table(
    "reservations",
    metadata,
    _seq(),
    Column("site", _NAME, nullable=False),
    Column("cohort", _NAME, nullable=False),
    Column("task", _NAME, nullable=False),
    Column("round", _NUMBER, nullable=False),
    Column("attempt", _NUMBER, nullable=False),
    Column("sampling_rate", _NAME, nullable=False),
    Column("noise_multiplier", _NAME, nullable=False),
    Column("clip", _NAME, nullable=False),
    Column("expected_batch", _NAME, nullable=False),
    Column("steps", _NUMBER, nullable=False),
    Column("delta", _NAME, nullable=False),
    Column("epsilon_total", _NAME, nullable=False),
    Column("purpose", _WORD, nullable=False),
    Index("reservations_of_round", "site", "round", "attempt"),
    Index("reservations_of_task", "site", "task"),
)

Index(
    "contributions_refused",
    contributions.c.seq,
    sqlite_where=_REFUSED,
    postgresql_where=_REFUSED,
)

evaluations: Final = Table(
    "evaluations",
    metadata,
    _seq(),
    Column("site", _NAME, nullable=False),
    Column("round", _NUMBER, nullable=False),
    Column("attempt", _NUMBER, nullable=False),
    Column("model", _DIGEST, nullable=False),
    Column("mechanism", _WORD, nullable=False),
    Index("evaluations_of_round", "round", "attempt", "site"),
)

releases: Final = Table(
    "releases",
    metadata,
    Column("release", _NAME, primary_key=True),
    Column("seq", _NUMBER, nullable=False),
    Column("round", _NUMBER, nullable=False),
    Column("attempt", _NUMBER, nullable=False),
    Column("agreement", _DIGEST, nullable=False),
    Column("model", _DIGEST, nullable=False),
    Column("card", _DIGEST, nullable=False),
    Column("rounds", Text, nullable=False),
    Column("sites", Text, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("recalled_seq", _NUMBER),
)
"""`seq` is the entry that published it; `rounds` and `sites` inside it are JSON lists."""

handed: Final = Table(
    "handed",
    metadata,
    _seq(),
    Column("release", _NAME, nullable=False),
    Column("how", _WORD, nullable=False),
    Column("site", _NAME, nullable=False),
    Index("handed_of_release", "release"),
)
"""Who has a release: `given` by an operator (to whom is disclosed), or `fetched` by a site."""

acts: Final = Table(
    "acts",
    metadata,
    _seq(),
    Column("operator", _NAME, nullable=False),
    Column("act", _NAME, nullable=False),
    Column("detail", Text, nullable=False),
)
"""`detail` is the JSON object of what the act says beside its name."""

exits, exit_steps, exit_releases = schema_exits.define(metadata)
holds, erasures = schema_keeping.define(metadata)
acceptances = schema_recovery.define(metadata)
tallied, spent, measured, passages = schema_sums.define(metadata)

PROJECTIONS: Final = (
    keys,
    certificates,
    revocations,
    agreements,
    consents,
    patient_counts,
    rounds,
    contributions,
    reservations,
    evaluations,
    releases,
    handed,
    acts,
    exits,
    exit_steps,
    exit_releases,
    holds,
    erasures,
    acceptances,
    tallied,
    spent,
    measured,
    passages,
)
"""The tables that a rebuild from the entries must make again, equal in every cell."""

for _table in (entries, nodes, checkpoints, cosignatures):
    triggers.attach(_table)
