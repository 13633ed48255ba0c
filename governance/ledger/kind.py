"""What is fixed for all entries of a kind, and the words in which their tables say it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable

from governance.ledger.entry import Entry
from governance.ledger.fields import DIGEST, NAME, NUMBER, Field, list_of

if TYPE_CHECKING:
    from governance.ledger.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Bound:
    """A change that was made once, with an entry's values: for what every round does.

    To make such a statement costs several times what it costs to run it.
    """

    prepared: Prepared
    values: Mapping[str, Any]


Change = Executable | Bound
Projection = Callable[[Connection, Entry], Sequence[Change]]
"""Reads the projections, refuses what cannot follow, returns the changes that follow."""


class Usage(enum.StrEnum):
    """What a key is for; the column `usage` of the table `keys`."""

    AGENT = "agent"
    OFFICER = "officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    LEDGER = "ledger"
    AUTHORITY = "authority"


class Carrier(enum.StrEnum):
    """Which message brings a statement to the coordinator."""

    SESSION = "session"
    UPLOAD = "upload"
    ENROLMENT = "enrolment"
    OPERATOR = "operator"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is fixed for all entries of a kind.

    Args:
        signer: The usages of which the signer's key has one.
        carried_by: The message that brings it; OWN for what the coordinator writes itself.
        fields: What the body holds, by name.
        projection: What it changes in the tables.
        optional_fields: Beside those; an entry has all of them or none.
        other_fields: In place of the optional ones; likewise all or none, and never both.
        disclosed: Labels that it may commit to.
        must_disclose: Labels that it must commit to.
        by_officers: Whether as many officers sign as the site's enrolment says.
    """

    signer: frozenset[Usage]
    carried_by: Carrier
    fields: Mapping[str, Field]
    projection: Projection
    optional_fields: Mapping[str, Field] = field(default_factory=dict)
    other_fields: Mapping[str, Field] = field(default_factory=dict)
    disclosed: frozenset[str] = frozenset()
    must_disclose: frozenset[str] = frozenset()
    by_officers: bool = False


AGENT: Final = frozenset({Usage.AGENT})
OFFICER: Final = frozenset({Usage.OFFICER})
SITE: Final = AGENT | OFFICER
OPERATOR: Final = frozenset({Usage.OPERATOR})
LEDGER: Final = frozenset({Usage.LEDGER})
AUTHORITY: Final = frozenset({Usage.AUTHORITY})

ATTEMPT: Final[Mapping[str, Field]] = {"agreement": DIGEST, "round": NUMBER, "attempt": NUMBER}
SITES: Final = list_of(NAME)
REASON: Final = frozenset({"reason"})
