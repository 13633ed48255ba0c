"""Kinds of entries about what is kept: holds, and the erasure of what is only committed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.keeping import is_subject
from governance.ledger import project_keeping as kept
from governance.ledger.fields import COUNT, RULE, Field
from governance.ledger.kind import OFFICER, OPERATOR, REASON, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUBJECT: Final = Field("all, site/NAME, round/NUMBER or entry/SEQ", is_subject)
_DISCLOSURE: Final[Mapping[str, Field]] = {"entry": COUNT, "label": RULE}

KINDS: Final[Mapping[str, Kind]] = {
    "hold-set": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {"subject": _SUBJECT},
        kept.hold_set,
        disclosed=REASON,
        must_disclose=REASON,
    ),
    "hold-lifted": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {"subject": _SUBJECT},
        kept.hold_lifted,
        disclosed=REASON,
        must_disclose=REASON,
    ),
    "erasure-requested": Kind(
        OFFICER, Carrier.SESSION, _DISCLOSURE, kept.erasure_requested, by_officers=True
    ),
    "erased": Kind(OPERATOR, Carrier.OPERATOR, _DISCLOSURE, kept.erased, disclosed=REASON),
}
"""What a hospital said is erased only after its officers' own `erasure-requested`."""
