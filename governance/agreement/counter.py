"""A counter-proposal: what a hospital would sign instead, as its difference, field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from governance.agreement import classes
from governance.agreement.classes import Change
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from governance.agreement.load import Document

LABEL: Final = "counter"
"""The disclosure that carries it."""
LIMIT_CHARS: Final = 60_000
_FIELDS: Final = frozenset({"path", "old", "new"})


def difference(proposed: Document, wanted: Document) -> tuple[Change, ...]:
    """Return what a hospital wants changed in a proposal.

    Raises:
        Refused: it is another federation's agreement, or says the same.
    """
    if wanted.agreement.federation != proposed.agreement.federation:
        raise Refused(
            f"the counter-proposal is for {wanted.agreement.federation}, and the proposal for "
            f"{proposed.agreement.federation}",
            todo="Start from the proposal: change what this hospital would sign otherwise.",
            rule="bad-counter",
        )
    found = classes.changes(proposed.fields(), wanted.fields())
    if not found:
        raise Refused(
            "the counter-proposal says what the proposal says",
            todo="Change what this hospital would sign otherwise, or leave --counter out.",
            rule="bad-counter",
        )
    return found


def to_text(changes: tuple[Change, ...]) -> str:
    """Write a difference as one text.

    Raises:
        Refused: it is too long to be sent.
    """
    said = [{"path": c.path, "old": c.old, "new": c.new} for c in changes]
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    if len(text) > LIMIT_CHARS:
        raise Refused(
            f"the counter-proposal has {len(text)} characters, and {LIMIT_CHARS} can be sent",
            todo="Say the rest to the operator by other means.",
            rule="bad-counter",
        )
    return text


def of_text(text: str) -> tuple[Change, ...]:
    """Read what `to_text` wrote; the classes are computed here.

    Raises:
        PeerFault: it is none.
    """
    try:
        return tuple(_change(one) for one in json.loads(text))
    except (ValueError, TypeError, KeyError):
        raise PeerFault("a counter-proposal cannot be read", rule="bad-counter") from None


def _change(said: dict[str, object]) -> Change:
    if set(said) != _FIELDS or not isinstance(said["path"], str):
        raise ValueError
    path, old, new = said["path"], said["old"], said["new"]
    return Change(path, old, new, classes.class_of(path, old=old, new=new))
