"""What the entries of a log only commit to, what a hold protects of it, and what was erased."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from governance.keeping import subjects
from governance.ledger.entry import site_of

if TYPE_CHECKING:
    from governance.ledger.entry import Entry


@dataclass(frozen=True, slots=True)
class Committed:
    """What an entry only commits to: whose it is, and of which a hold protects it."""

    actor: str
    subjects: frozenset[str]
    labels: frozenset[str]


@dataclass(slots=True)
class Keeping:
    """Values by the seq of their entry; holds that stand; what was asked for, and erased.

    `from_copies` are the entries that a recovery took from hospitals' copies, which do not have
    the values that others disclosed: those may be lost.
    """

    values: dict[int, Committed] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    asked: dict[tuple[int, str], int] = field(default_factory=dict)
    erased: dict[tuple[int, str], int] = field(default_factory=dict)
    from_copies: set[int] = field(default_factory=set)

    def commits(self, entry: Entry) -> None:
        """Remember what an entry commits to."""
        statement = entry.statement
        number = statement.body.get("round")
        said = subjects(entry.seq, site_of(statement), number if type(number) is int else None)
        labels = frozenset(statement.commitments)
        self.values[entry.seq] = Committed(statement.actor, said, labels)
