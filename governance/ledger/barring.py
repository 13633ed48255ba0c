"""What ends a certificate before its time: its holder is revoked, or has left."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select, union_all

from governance.exits import Step
from governance.ledger.schema import certificates, exit_steps, revocations

_BARS: Final = union_all(
    select(revocations.c.name, revocations.c.seq),
    select(exit_steps.c.site.label("name"), exit_steps.c.seq).where(
        exit_steps.c.step == Step.BAR.value
    ),
).subquery()
BARRED: Final = (
    select(func.min(_BARS.c.seq))
    .where(_BARS.c.name == certificates.c.name, _BARS.c.seq > certificates.c.seq)
    .correlate(certificates)
    .scalar_subquery()
)
"""The entry that ended a certificate issued before it: who comes back gets a new one."""
