"""What time alone ends: consents whose `until` has come, and an agreement that is over.

Nothing waits for these entries: a consent permits nothing from its last second on, whether it
is recorded or not. They are for whoever reads the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator import ending, heads
from coordinator.store import record, roundbook

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation


def lapse(base: Foundation, connection: Connection) -> bool:
    """Record what time has ended by now; say whether there was anything."""
    now = base.now()
    over = [one for one in record.ends_of_consents(connection) if one.until <= now]
    for one in over:
        body = {"agreement": one.agreement, "site": one.site}
        base.chronicle.say(connection, "consent-lapsed", body, now=now)
    force = record.agreement_in_force(connection)
    expires = force is not None and force.agreement.valid.until <= now
    if expires and roundbook.running(connection) is None:
        assert force is not None
        ending.expire(base, connection, force)
    elif over:
        heads.publish(base, connection)
    else:
        return False
    return True


def next_end(connection: Connection) -> datetime | None:
    """Return when time alone next ends something; None for nothing."""
    moments = [one.until for one in record.ends_of_consents(connection)]
    force = record.agreement_in_force(connection)
    if force is not None:
        moments.append(force.agreement.valid.until)
    return min(moments, default=None)
