"""Who may see which disclosed values: as each agreement says, and where none speaks, auditors.

    disclosures.visible_to: members    sites, operators and auditors see its values
    disclosures.visible_to: auditors   auditors alone
    quality.visible_to: own-site       figures are for who said them alone
    no agreement is named              auditors alone

Whoever said something sees what it disclosed itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from coordinator.store import kept
from governance import statements, subgroups
from governance.agreement.load import parse
from governance.identity import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from governance.statements import Statement
    from protos.words import Disclosure, EntryRecord

FIGURES: Final = frozenset({"figures", subgroups.LABEL})
_AUDITOR: Final = "auditor"


@dataclass(frozen=True, slots=True)
class Shown:
    """Whom an agreement shows what; the strictest when nobody knows it."""

    to_members: bool = False
    figures: bool = False


def seen(c: Connection, records: Iterable[EntryRecord], *, by: str) -> list[EntryRecord]:
    """Return entries with the disclosures alone that an actor (`site/NAME`) may see."""
    return [
        replace(record, disclosures=_seen(c, record, by)) if record.disclosures else record
        for record in records
    ]


def _seen(c: Connection, record: EntryRecord, by: str) -> tuple[Disclosure, ...]:
    statement = statements.read(record.envelope)
    if statement.actor == by:
        return record.disclosures
    shown = _terms(c, statement)
    if not (shown.to_members or names.parse_actor(by)[0] == _AUDITOR):
        return ()
    return tuple(
        told for told in record.disclosures if shown.figures or told.label not in FIGURES
    )


def _terms(c: Connection, statement: Statement) -> Shown:
    agreement = str(statement.body.get("agreement"))
    raw = kept.document(c, agreement) if statements.is_digest(agreement) else None
    return Shown() if raw is None else _shown(raw)


@lru_cache(maxsize=64)
def _shown(document: bytes) -> Shown:
    agreement = parse(document).agreement
    return Shown(
        to_members=agreement.disclosures.visible_to == "members",
        figures=agreement.quality.visible_to == "all",
    )
