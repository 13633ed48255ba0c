"""Kinds of entries about leaving: the request, each step that follows, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.exits import Decision, Scope, Step
from governance.ledger import project_exits as exited
from governance.ledger.fields import COUNT, DIGEST, NAME, NUMBER, list_of, one_of, optional
from governance.ledger.kind import LEDGER, OFFICER, OPERATOR, REASON, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Kind]] = {
    "exit-requested": Kind(
        OFFICER | OPERATOR,
        Carrier.SESSION,
        {
            "site": NAME,
            "scope": one_of(Scope.FEDERATION.value),
            "cause": one_of(exited.OWN_WISH, exited.REMOVED),
        },
        exited.exit_requested,
        disclosed=REASON,
        by_officers=True,
    ),
    "exit-step": Kind(
        LEDGER,
        Carrier.OWN,
        {
            "exit": COUNT,
            "site": NAME,
            "step": one_of(*(step.value for step in Step if step is not Step.CLOSE)),
            "decision": one_of(*(decision.value for decision in Decision)),
            "rounds": list_of(NUMBER),
            "releases": list_of(NAME),
            "model": optional(DIGEST),
            "state": optional(DIGEST),
        },
        exited.exit_step,
    ),
    "exit-closed": Kind(
        LEDGER,
        Carrier.OWN,
        {"exit": COUNT, "site": NAME, "rests_on": list_of(COUNT)},
        exited.exit_closed,
    ),
}
"""An operator's `exit-requested` comes as its act, with two keys where the agreement says."""
