"""What time alone ends: consents whose `until` has come, and an agreement that is over.

Nothing waits for these entries: a consent permits nothing from its last second on, whether it
is recorded or not. They are for whoever reads the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from coordinator import ending, heads
from coordinator.store import record, roundbook
from governance.consent import ENDED
from governance.ledger.schema import agreements, consents
from governance.statements import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, Row

    from coordinator.foundation import Foundation


def lapse(base: Foundation, connection: Connection) -> bool:
    """Record what time has ended by now; say whether there was anything."""
    now = base.now()
    over = [row for row in _with_an_end(connection) if parse_time(row.until) <= now]
    for row in over:
        body = {"agreement": row.agreement, "site": row.site}
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
    moments = [parse_time(row.until) for row in _with_an_end(connection)]
    force = record.agreement_in_force(connection)
    if force is not None:
        moments.append(force.agreement.valid.until)
    return min(moments, default=None)


def _with_an_end(connection: Connection) -> Sequence[Row[Any]]:
    """Return the consents that go on, to terms that are proposed or in force."""
    material = select(agreements.c.material).where(
        agreements.c.state.in_(("proposed", "in-force"))
    )
    return connection.execute(
        select(consents)
        .where(
            consents.c.until != "",
            consents.c.material.in_(material),
            consents.c.state.not_in([state.value for state in ENDED]),
        )
        .order_by(consents.c.site, consents.c.given_seq)
    ).all()
