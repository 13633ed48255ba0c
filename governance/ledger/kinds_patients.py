"""Kinds of entries about patients: how many, and that some are left out; never who."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import project_patients as counted
from governance.ledger.fields import DECIMAL, DIGEST, LABEL, SOME_OR_TENS, TENS
from governance.ledger.kind import AGENT, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Kind]] = {
    "data-declared": Kind(
        AGENT,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "cohort": LABEL,
            "declared_patients": TENS,
            "schema": DIGEST,
            "expected_batch": DECIMAL,
        },
        counted.data_declared,
    ),
    "opt-outs-applied": Kind(
        AGENT,
        Carrier.SESSION,
        {"agreement": DIGEST, "cohort": LABEL, "patients": SOME_OR_TENS},
        counted.opt_outs_applied,
    ),
}
