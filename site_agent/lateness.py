"""Updates that were made already: one that came too late for its round, one for a retry.

Under `late: next-round` a training whose round goes on without this hospital is brought to its
end, and its update takes the place of a training in the next round. It was reserved for in its
own round and costs nothing more. It counts in that one round or never.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from governance.agreement.load import parse
from governance.stragglers import LATE, NEXT_ROUND
from protos.words import TaskKind
from site_agent import patients
from site_agent.agent import Made, TaskState, may_resend, may_send_late
from site_agent.store import carried, masks, terms, work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from protos.words import Task
    from site_agent.agent import Outcome
    from site_agent.membership import Membership
    from site_agent.store.work import Held


def goes_on(c: Connection, m: Membership, held: Held, rule: str) -> bool:
    """Tell whether a training that is cancelled as late is to be brought to its end."""
    trains = held.state is TaskState.WORKING and held.task.kind is TaskKind.TRAIN
    return trains and rule == LATE and _counts_later(c, m, held.task)


def of_before(c: Connection, m: Membership, task: Task) -> Held | None:
    """Return the update of the round before a task's that is not in, and may count for it."""
    if task.kind is not TaskKind.TRAIN or not _counts_later(c, m, task):
        return None
    for held in work.of_round(c, m.federation, task.round - 1):
        is_left = held.update is not None and held.state is not TaskState.DONE
        if is_left and held.task.agreement == task.agreement:
            return held
    return None


def trained_for(c: Connection, m: Membership, held: Held) -> Task:
    """Return the task that the update of a task was trained for: itself, or one before."""
    before = of_before(c, m, held.task)
    is_late = before is not None and before.update == held.update
    return before.task if before is not None and is_late else held.task


def sends_again(
    c: Connection, m: Membership, task: Task, outcomes: Mapping[tuple[int, int], Outcome]
) -> bool:
    """Give a task an update that was made before, with what goes with it, if it may have one.

    Args:
        c: The store.
        m: The federation.
        task: The task, undecided.
        outcomes: By round and attempt, how those of its round and of the one before ended.
    """
    earlier = work.of_round(c, m.federation, task.round)
    for held in earlier:
        outcome = outcomes.get((task.round, held.task.attempt))
        may = may_resend(_made_of(held.task), task=_made_of(task), outcome=outcome)
        if held.update is None or not may:
            continue
        if _is_free(c, m, held):
            _give(c, m, task, held)
            return True
    before = of_before(c, m, task)
    if before is None or any(one.update == before.update for one in earlier):
        return False  # none, or it was sent for this round and may have been summed
    outcome = outcomes.get((before.task.round, before.task.attempt))
    if not may_send_late(
        _made_of(before.task), task=_made_of(task), outcome=outcome, site=m.site
    ):
        return False
    if not _is_free(c, m, before):
        return False
    _give(c, m, task, before)
    return True


def _counts_later(c: Connection, m: Membership, task: Task) -> bool:
    offered = terms.find(c, m.federation, task.agreement)
    return offered is not None and parse(offered.document).agreement.round.late == NEXT_ROUND


def _is_free(c: Connection, m: Membership, held: Held) -> bool:
    """Tell whether nothing speaks against sending an update that was made for a task."""
    assert held.update is not None
    if masks.has_signed(c, m.federation, held.task.task):
        return False  # its sum may have been opened, whatever the coordinator says of it
    return not patients.changed_since(c, m, held.task.round, held.update.digest)


def _give(c: Connection, m: Membership, task: Task, held: Held) -> None:
    assert held.update is not None
    work.keep_update(c, m.federation, task.task, held.update)
    made = held.task
    control = carried.control_of(c, m.federation, made.agreement, made.round, made.attempt)
    if control is not None:
        here = replace(control, round=task.round, attempt=task.attempt, state=carried.PENDING)
        carried.keep_control(c, m.federation, here)


def _made_of(task: Task) -> Made:
    state = task.state.digest if task.state is not None else ""
    return Made((task.agreement, task.model.digest, state), task.round, task.attempt)
