"""Kinds of entries about the statistics that quantities are normalised by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance import normalisation
from governance.ledger import project_statistics
from governance.ledger.fields import DIGEST, LABEL, Field, list_of, map_of, one_of, record_of
from governance.ledger.kind import AGENT, ATTEMPT, LEDGER, SITES, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASED: Final = project_statistics.RELEASED
COMBINED: Final = project_statistics.COMBINED
_LABELS: Final = frozenset({normalisation.LABEL})
_DECIMAL: Final = Field("a decimal, perhaps negative, in a string", normalisation.is_decimal)
_SCALE: Final = record_of(_DECIMAL, "low", "high", "mean", "std")

KINDS: Final[Mapping[str, Kind]] = {
    RELEASED: Kind(
        AGENT,
        Carrier.SESSION,
        {**ATTEMPT, "basis": DIGEST, "mechanism": one_of(normalisation.MECHANISM)},
        project_statistics.statistics_released,
        disclosed=_LABELS,
        must_disclose=_LABELS,
    ),
    COMBINED: Kind(
        LEDGER,
        Carrier.OWN,
        {
            **ATTEMPT,
            "basis": DIGEST,
            "released": list_of(DIGEST),
            "sites": SITES,
            "values": map_of(LABEL, _SCALE),
        },
        project_statistics.statistics_combined,
    ),
}
"""A hospital's sums are disclosed and can be erased; what they were combined to is part of
every model that is trained by it, as an agreement's references are."""
