"""Kinds of entries about what was tried against privacy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import project_privacy
from governance.ledger.fields import COUNT, DECIMAL, DIGEST, NUMBER, one_of
from governance.ledger.kind import AGENT, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDITED: Final = "privacy-audited"
CANARIES: Final = "canaries"
WITHIN: Final = "within-claim"
REFUTED: Final = "refuted"

KINDS: Final[Mapping[str, Kind]] = {
    AUDITED: Kind(
        AGENT,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "test": one_of(CANARIES),
            "patients": one_of("synthetic"),
            "sampling_rate": DECIMAL,
            "noise_multiplier": DECIMAL,
            "steps": NUMBER,
            "rounds": NUMBER,
            "delta": DECIMAL,
            "claimed": DECIMAL,
            "canaries": NUMBER,
            "guesses": NUMBER,
            "right": COUNT,
            "at_least": DECIMAL,
            "without_noise": DECIMAL,
            "confidence": DECIMAL,
            "finding": one_of(WITHIN, REFUTED),
            "worker": DIGEST,
        },
        project_privacy.privacy_audited,
    ),
}
