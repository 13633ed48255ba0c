"""SCAFFOLD's control variates: c_i⁺ is the site's only when the ledger says that it counted.

A round that is abandoned changes no c_i; a site that missed rounds keeps its old one. Where an
exit moves the base of training, c and every c_i begin anew at zero. The files lie in the work
folder, what they are is in the store, so that a restart changes nothing.

What compression left out of an update lies beside c_i⁺ and shares its fate: of an update that
did not count nothing is left over, and what was left out before it still is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from site_agent import changing
from site_agent.agent import Fate, fate_of_control
from site_agent.store import carried

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import Task
    from site_agent.agent import Outcome
    from site_agent.membership import Membership
    from site_agent.store.carried import Control


def pending(c: Connection, m: Membership) -> list[Control]:
    """Return the control variates of which the ledger has not told yet, the oldest first."""
    return carried.controls(c, m.federation, state=carried.PENDING)[::-1]


def has_pending(c: Connection, m: Membership, task: Task) -> bool:
    """Tell whether an earlier attempt's c_i⁺ must be settled before a task trains."""
    here = (task.round, task.attempt)
    return any((one.round, one.attempt) < here for one in pending(c, m))


def restart(c: Connection, m: Membership, until: int) -> None:
    """Drop the control variates up to a round: c began anew after it, and each c_i with it."""
    for control in carried.controls(c, m.federation, state=carried.COMMITTED):
        if control.round <= until:
            carried.set_control(c, m.federation, control, carried.DROPPED)


def erase(c: Connection, m: Membership) -> None:
    """Forget all of it, and delete the files: no training of this site will need it."""
    for state in (carried.PENDING, carried.COMMITTED):
        for control in carried.controls(c, m.federation, state=state):
            carried.set_control(c, m.federation, control, carried.DROPPED)
            for path in control.files:
                (m.premises.state / path).unlink(missing_ok=True)


def own(c: Connection, m: Membership, agreement: str) -> Control | None:
    """Return what is the site's under an agreement, or those whose consent it carries on."""
    held = (
        carried.own_control(c, m.federation, one)
        for one in changing.lineage(c, m.federation, agreement)
    )
    return next((one for one in held if one is not None), None)


def settle(c: Connection, m: Membership, control: Control, ended: Outcome | None) -> None:
    """Write down what became of a control variate."""
    state = {Fate.KEEP: carried.COMMITTED, Fate.DROP: carried.DROPPED}.get(
        fate_of_control(ended, site=m.site)
    )
    if state is not None:
        carried.set_control(c, m.federation, control, state)
