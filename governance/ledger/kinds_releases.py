"""Kinds of entries about models that leave: published, given, fetched, recalled, settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.exits import Decision
from governance.ledger import project_releases as released
from governance.ledger import project_settling as settling
from governance.ledger.fields import DIGEST, NAME, NUMBER, list_of, one_of
from governance.ledger.kind import (
    AGENT,
    ATTEMPT,
    LEDGER,
    OPERATOR,
    REASON,
    SITES,
    Carrier,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.fields import Field

_RELEASE: Final[Mapping[str, Field]] = {"agreement": DIGEST, "release": NAME, "model": DIGEST}
_RECIPIENT: Final = frozenset({"recipient"})

KINDS: Final[Mapping[str, Kind]] = {
    "release-published": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {**ATTEMPT, **_RELEASE, "card": DIGEST, "rounds": list_of(NUMBER), "sites": SITES},
        released.published,
    ),
    "release-given": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        _RELEASE,
        released.given,
        disclosed=_RECIPIENT,
        must_disclose=_RECIPIENT,
    ),
    "release-recalled": Kind(
        OPERATOR, Carrier.OPERATOR, _RELEASE, settling.recalled, disclosed=REASON
    ),
    "release-settled": Kind(
        OPERATOR | LEDGER,
        Carrier.OPERATOR,
        {
            **_RELEASE,
            "site": NAME,
            "decision": one_of(Decision.KEEP.value, Decision.RECALL.value),
        },
        settling.settled,
        disclosed=REASON,
    ),
    "release-fetched": Kind(AGENT, Carrier.SESSION, _RELEASE, released.fetched),
}
"""`rounds` and `sites` are those inside the model, from its first weights on. A release is
settled at the exit of a site inside it: by operators, or recalled as the agreement says."""
