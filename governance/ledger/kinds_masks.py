"""Kinds of entries about masked sums: who took which step, and what figures came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import attempts, project_masks
from governance.ledger.fields import DIGEST, NAME, RULE, map_of, one_of
from governance.ledger.kind import AGENT, ATTEMPT, LEDGER, SITES, Carrier, Kind
from governance.secagg.terms import PURPOSES, STEPS, UNMASKED

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP: Final = "masking-step"
COMPLAINT: Final = "complaint"
OPENED: Final = "evaluation-opened"
SUMMED: Final = "evaluation-summed"
MISSING: Final = "evaluation-missing"
FIGURES: Final = "figures"
"""The label of what the sum says of all hospitals in it."""
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
        attempts.of_known_attempt,
    ),
    OPENED: Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "model": DIGEST, "sites": SITES},
        project_masks.evaluation_opened,
    ),
    SUMMED: Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "model": DIGEST, "sites": SITES},
        project_masks.evaluation_summed,
        must_disclose=frozenset({FIGURES}),
        disclosed=frozenset({FIGURES}),
    ),
    MISSING: Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "model": DIGEST, "reason": RULE},
        attempts.of_open_attempt,
    ),
}
