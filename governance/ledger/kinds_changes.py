"""The kind of entry about a change that asks for no new consent: an agent took it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import project_changes as changed
from governance.ledger.fields import DIGEST, one_of
from governance.ledger.kind import AGENT, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Kind]] = {
    "change-acknowledged": Kind(
        AGENT,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "material": DIGEST,
            "former": DIGEST,
            "class": one_of("operational", "editorial"),
        },
        changed.change_acknowledged,
    ),
}
