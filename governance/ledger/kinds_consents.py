"""Kinds of entries about what hospitals agreed to: agreements and consents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import project_consents as consented
from governance.ledger.fields import (
    COUNT,
    DECIMAL,
    DIGEST,
    KEY,
    LABEL,
    NAME,
    RULE,
    TENS,
    TIME,
    list_of,
    map_of,
    one_of,
    optional,
    record_of,
)
from governance.ledger.kind import LEDGER, OFFICER, OPERATOR, REASON, SITE, SITES, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOVED: Final = {
    "agreement": DIGEST,
    "material": DIGEST,
    "rests_on": list_of(COUNT),
    "sites": SITES,
}

KINDS: Final[Mapping[str, Kind]] = {
    "agreement-proposed": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {
            "agreement": DIGEST,
            "material": DIGEST,
            "changes": map_of(LABEL, one_of("material", "operational", "editorial")),
        },
        consented.agreement_proposed,
        optional_fields={"operators": map_of(NAME, KEY), "two_for": list_of(RULE)},
    ),
    "agreement-proposal-withdrawn": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {"agreement": DIGEST, "material": DIGEST},
        consented.proposal_withdrawn,
        disclosed=REASON,
    ),
    "agreement-in-force": Kind(LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-superseded": Kind(LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-expired": Kind(LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-complete": Kind(
        LEDGER,
        Carrier.OWN,
        _MOVED,
        consented.agreement_moved,
        optional_fields={"reason": RULE},
    ),
    "consent-given": Kind(
        OFFICER,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "material": DIGEST,
            "review": DIGEST,
            "purposes": list_of(LABEL),
            "basis": record_of(optional(LABEL), "jurisdiction", "irb", "permit", "dpa"),
            "until": TIME,
            "declared_patients": TENS,
            "cap": DECIMAL,
            "delta": DECIMAL,
            "stops_in_round": COUNT,
            "cohort": LABEL,
        },
        consented.consent_given,
        disclosed=frozenset({"officer", "role"}),
        must_disclose=frozenset({"officer", "role"}),
        by_officers=True,
    ),
    "consent-declined": Kind(
        OFFICER,
        Carrier.SESSION,
        {"agreement": DIGEST},
        consented.consent_moved,
        disclosed=REASON | {"counter"},
    ),
    "consent-objected": Kind(
        SITE,
        Carrier.SESSION,
        {"agreement": DIGEST},
        consented.consent_moved,
        disclosed=REASON,
    ),
    "consent-suspended": Kind(
        SITE, Carrier.SESSION, {"agreement": DIGEST}, consented.consent_moved
    ),
    "consent-resumed": Kind(
        OFFICER,
        Carrier.SESSION,
        {"agreement": DIGEST, "material": DIGEST},
        consented.consent_resumed,
        by_officers=True,
    ),
    "consent-withdrawn": Kind(
        SITE, Carrier.SESSION, {"agreement": DIGEST}, consented.consent_moved
    ),
    "consent-lapsed": Kind(
        LEDGER, Carrier.OWN, {"agreement": DIGEST, "site": NAME}, consented.consent_lapsed
    ),
}
"""A proposal states its document's operators: by it their acts count once it is in force.
Proposals of before that rule state none."""
