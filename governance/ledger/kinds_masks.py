"""Kinds of entries about masked sums: who took which step, and who complained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import project_masks, project_rounds
from governance.ledger.fields import DIGEST, NAME, RULE, map_of, one_of
from governance.ledger.kind import AGENT, ATTEMPT, LEDGER, SITES, Carrier, Kind
from governance.secagg.terms import PURPOSES, STEPS, UNMASKED

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP: Final = "masking-step"
COMPLAINT: Final = "complaint"
_PURPOSE: Final = one_of(*sorted(PURPOSES))

KINDS: Final[Mapping[str, Kind]] = {
    STEP: Kind(
        LEDGER,
        Carrier.OWN,
        {
            **ATTEMPT,
            "purpose": _PURPOSE,
            "terms": DIGEST,
            "step": one_of(*STEPS, UNMASKED),
            "sites": SITES,
            "dropped": SITES,
            "refused": map_of(NAME, RULE),
        },
        project_masks.masking_step,
    ),
    COMPLAINT: Kind(
        AGENT,
        Carrier.SESSION,
        {**ATTEMPT, "purpose": _PURPOSE, "terms": DIGEST, "broken": RULE},
        project_rounds.of_known_attempt,
    ),
}
