"""What this site's own copy of the ledger says of a task, asked in one transaction."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from governance.ledger import operators
from site_agent import lateness, masking, measuring
from site_agent.deciding import Facts
from site_agent.store import comparing, copy

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from protos.words import Task
    from site_agent.membership import Membership
    from site_agent.readiness import Seen
    from site_agent.store.copy import Copy


async def awaits_end(m: Membership, kept: Copy, task: Task) -> bool:
    """Tell whether the log is still to say how the round of a late update ended."""
    before = await m.store.ask(partial(lateness.of_before, m=m, task=task))
    if before is None:
        return False
    at = (before.task.round, before.task.attempt)
    ended = (await kept.do(partial(copy.outcomes, round_=at[0]))).get(at)
    return ended is None or ended.state == "open"


async def alone(m: Membership, kept: Copy, task: Task, document: Document | None) -> str:
    """Return why a task waits for the others to be seen on this history; empty if not."""
    if document is None:
        return ""
    lag = m.settings.policy.witness_lag
    since = m.now() - timedelta(seconds=lag)
    asked = partial(comparing.compared, document=document, round_=task.round, since=since)
    return comparing.why_alone(await kept.do(asked), task.round, lag)


def of_task(
    c: Connection, *, task: Task, document: Document | None, skew: timedelta, seen: Seen
) -> Facts:
    """Return what a decision needs to know, but for who else was seen on this history."""
    return Facts(
        skew,
        seen,
        copy.in_force(c),
        copy.outcomes(c, task.round - 1) | copy.outcomes(c, task.round),
        copy.not_in_force(c),
        inside=copy.left_inside(c, task.agreement),
        proposed=operators.proposal(c, task.agreement),
        known=None if document is None else masking.known(c, document, task),
        statistics=None if document is None else measuring.recorded(c, document),
    )
