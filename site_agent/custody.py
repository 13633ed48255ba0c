"""SCAFFOLD's control variates: c_i⁺ is the site's only when the ledger says that it counted.

A round that is abandoned changes no c_i; a site that missed rounds keeps its old one. Where an
exit moves the base of training, c and every c_i begin anew at zero. The files lie in the work
folder, what they are is in the store, so that a restart changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from site_agent.agent import Fate, fate_of_control
from site_agent.store import work

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import Task
    from site_agent.agent import Outcome
    from site_agent.membership import Membership
    from site_agent.store.work import Control


def pending(c: Connection, m: Membership) -> list[Control]:
    """Return the control variates of which the ledger has not told yet, the oldest first."""
    return work.controls(c, m.federation, state=work.PENDING)[::-1]


def has_pending(c: Connection, m: Membership, task: Task) -> bool:
    """Tell whether an earlier attempt's c_i⁺ must be settled before a task trains."""
    here = (task.round, task.attempt)
    return any((one.round, one.attempt) < here for one in pending(c, m))


def restart(c: Connection, m: Membership, until: int) -> None:
    """Drop the control variates up to a round: c began anew after it, and each c_i with it."""
    for control in work.controls(c, m.federation, state=work.COMMITTED):
        if control.round <= until:
            work.set_control(c, m.federation, control, work.DROPPED)


def settle(c: Connection, m: Membership, control: Control, ended: Outcome | None) -> None:
    """Write down what became of a control variate."""
    state = {Fate.KEEP: work.COMMITTED, Fate.DROP: work.DROPPED}.get(
        fate_of_control(ended, site=m.site)
    )
    if state is not None:
        work.set_control(c, m.federation, control, state)
