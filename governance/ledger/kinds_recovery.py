"""Kinds of entries about what was lost and came back: a log, or a hospital's own store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import new_log, project_recovery
from governance.ledger.fields import (
    COUNT,
    DECIMAL,
    DIGEST,
    LABEL,
    map_of,
    optional,
    record_of,
)
from governance.ledger.kind import OFFICER, OPERATOR, Carrier, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Kind]] = {
    new_log.KIND: Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {"backup": COUNT, "size": COUNT},
        project_recovery.log_recovered,
        optional_fields=new_log.BINDS,
    ),
    new_log.ACCEPTED: Kind(
        OFFICER,
        Carrier.SESSION,
        {
            "declared": DIGEST,
            "review": DIGEST,
            "held": optional(new_log.HEAD),
            "lost": COUNT,
            "spent": map_of(LABEL, record_of(DECIMAL, "delta", "epsilon")),
        },
        project_recovery.log_accepted,
        by_officers=True,
    ),
    "store-recovered": Kind(
        OFFICER,
        Carrier.SESSION,
        {
            "review": DIGEST,
            "size": COUNT,
            "spent": map_of(LABEL, record_of(DECIMAL, "delta", "epsilon")),
            "tasks": COUNT,
        },
        project_recovery.store_recovered,
        by_officers=True,
    ),
}
