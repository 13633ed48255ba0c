"""What sites that said no would sign, as a difference that an operator can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.agreement import counter
from governance.agreement.plan import said
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from governance.agreement.classes import Change
    from governance.agreement.load import Document
    from protos.words_operator import Dissent


def lines(dissents: Sequence[Dissent], drafted: Document | None = None) -> Iterator[str]:
    """Return who said no, why, and what each would sign instead, field by field.

    With a draft, also whether it takes each wish up.
    """
    fields = _flat("", drafted.fields()) if drafted is not None else None
    for one in dissents:
        why = f": «{one.reason}»" if one.reason else ""
        said = "objected to" if one.state == "objected" else one.state
        yield f"{one.site} {said} the proposal{why}"
        wished = changes(one)
        if wished is None:
            yield "  its counter-proposal cannot be read"
            continue
        for change in wished:
            yield f"  {_line(change)}{_taken_up(change, fields)}"


def facts(dissents: Sequence[Dissent]) -> list[dict[str, object]]:
    """Return the same for a program."""
    return [
        {
            "site": one.site,
            "state": one.state,
            "reason": one.reason,
            "counter": [
                {"path": c.path, "old": c.old, "new": c.new, "class": c.klass}
                for c in changes(one) or ()
            ],
        }
        for one in dissents
    ]


def changes(dissent: Dissent) -> tuple[Change, ...] | None:
    """Return what a site would have otherwise; None where that cannot be read."""
    if not dissent.counter:
        return ()
    try:
        return counter.of_text(dissent.counter)
    except PeerFault:
        return None


def _line(change: Change) -> str:
    text = f"would sign {change.path}: {said(change.old)} -> {said(change.new)}"
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _taken_up(change: Change, fields: Mapping[str, object] | None) -> str:
    if fields is None:
        return ""
    return "  (taken up)" if fields.get(change.path) == change.new else "  (not taken up)"


def _flat(path: str, value: Mapping[str, object]) -> dict[str, object]:
    """Return every value by its path, sections and their parts alike."""
    found: dict[str, object] = {}
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        found[below] = inner
        if isinstance(inner, dict):
            found |= _flat(below, inner)
    return found
