"""Every kind of entry: who may sign it, what carries it, what it holds, and what it changes.

The table is the law of the log: what is not in it is refused, and a kind that lacks a column
cannot be written down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import (
    kinds_changes,
    kinds_consents,
    kinds_exits,
    kinds_keeping,
    kinds_masks,
    kinds_members,
    kinds_patients,
    kinds_privacy,
    kinds_recovery,
    kinds_releases,
    kinds_rounds,
    kinds_statistics,
)
from governance.ledger.fields import PLAIN, check
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.kind import Kind
    from governance.statements import Statement

KINDS: Final[Mapping[str, Kind]] = {
    **kinds_members.KINDS,
    **kinds_consents.KINDS,
    **kinds_changes.KINDS,
    **kinds_patients.KINDS,
    **kinds_rounds.KINDS,
    **kinds_masks.KINDS,
    **kinds_releases.KINDS,
    **kinds_exits.KINDS,
    **kinds_keeping.KINDS,
    **kinds_recovery.KINDS,
    **kinds_privacy.KINDS,
    **kinds_statistics.KINDS,
}

_OPEN_ENDED: Final = frozenset({"operator-acted"})
"""Each act has fields of its own; they hold labels and whole numbers."""


def check_form(statement: Statement) -> Kind:
    """Return the kind of a statement whose body and commitments have that kind's form.

    Raises:
        Refused: the kind is unknown, or its body or commitments are not as the table says.
    """
    kind = KINDS.get(statement.kind)
    if kind is None:
        raise Refused(f"there is no kind {statement.kind}", rule="unknown-kind")
    fields = kind.fields
    for more in (kind.optional_fields, kind.other_fields):
        if more and more.keys() & statement.body.keys():
            fields = {**fields, **more}
            break
    if statement.kind in _OPEN_ENDED:
        fields = {**dict.fromkeys(statement.body, PLAIN), **fields}
    check(statement.kind, statement.body, fields)
    labels = statement.commitments.keys()
    for label in sorted((labels - kind.disclosed) | (kind.must_disclose - labels)):
        raise Refused(f"{statement.kind} with or without {label}", rule="bad-disclosure")
    return kind
