"""Which rule an attempt was abandoned by, and which hospitals broke it.

A sum that is too long names nobody: whoever's vector it was, the masks hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coordinator.store import masks

if TYPE_CHECKING:
    from coordinator.effects import Turn


def of(turn: Turn) -> dict[str, Any]:
    """Return what `round-abandoned` says of it, {} where no rule was broken."""
    terms = masks.terms_of(turn.connection, turn.at)
    refused = masks.refused(turn.connection, terms) if terms is not None else {}
    verdict = turn.verdict
    if verdict is not None and not verdict.accepted:
        return {"rule": verdict.rule, "refused": {**refused, **verdict.refused}}
    return {"rule": min(refused.values()), "refused": refused} if refused else {}
