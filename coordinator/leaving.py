"""What follows when a hospital leaves: each step of its exit, as soon as it can be taken.

`governance.exits` has the course. A step is taken in the transaction that records it, and all
that can be taken at once are. Nobody is waited for, but for the round at work where SCAFFOLD's
control variate must be made anew under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from coordinator import campaign, heads, rewinding
from coordinator.round_states import Event
from coordinator.store import exits, kept, record, released, roundbook
from governance.exits import (
    BY_ITSELF,
    Decision,
    Exit,
    Scope,
    Step,
    advance,
    due,
    going_back,
    settled,
    touched,
)
from governance.ledger import project_settling
from governance.ledger.project_exits import committed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection, Row

    from coordinator.effects import Chores
    from coordinator.foundation import Foundation
    from governance.agreement.load import Document

_log = structlog.get_logger("conductor")


@dataclass(frozen=True, slots=True)
class Said:
    """What an `exit-step` says beside whose and which it is."""

    decision: Decision = Decision.NOTHING
    rounds: tuple[int, ...] = ()
    model: str = ""
    state: str = ""
    releases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaver:
    """One exit at this moment; `force` is the agreement that training goes on under."""

    base: Foundation
    connection: Connection
    row: Row[Any]
    force: Document | None

    @property
    def goes_back(self) -> bool:
        """Whether training goes back to before this site."""
        if self.force is None or self.force.agreement.exits.training == "continue":
            return False
        return bool(going_back(committed(self.connection), self.row.site))


def proceed(base: Foundation, connection: Connection) -> tuple[bool, Chores | None]:
    """Take every step of every exit that can be taken now.

    Returns whether there was any, and the chores of a round that ended with it.
    """
    moved = False
    for row in exits.unfinished(connection):
        leaver = Leaver(base, connection, row, record.agreement_in_force(connection))
        if leaver.goes_back and roundbook.running(connection) is not None:
            # It started from a model that is given up: what would come of it is wasted budget.
            return True, campaign.happen(base, connection, Event.CONSENT, now=base.now())
        moved = _onward(leaver) or moved
    if moved:
        heads.publish(base, connection)
    return moved, None


def _onward(leaver: Leaver) -> bool:
    row, moved = leaver.row, False
    scope, state = Scope(row.scope), Exit(row.state)
    while (step := due(scope, state)) is not None:
        said = None if step is Step.CLOSE else _STEPS[step](leaver)
        if step is Step.CLOSE:
            _close(leaver)
        elif said is None:
            return moved
        else:
            _say(leaver, step, said)
        state, moved = advance(scope, state, step), True
    return moved


def _say(leaver: Leaver, step: Step, said: Said) -> None:
    body = {
        "exit": leaver.row.seq,
        "site": leaver.row.site,
        "step": step.value,
        "decision": said.decision.value,
        "rounds": list(said.rounds),
        "releases": list(said.releases),
        "model": said.model,
        "state": said.state,
    }
    base = leaver.base
    seq = base.chronicle.say(leaver.connection, "exit-step", body, now=base.now())
    _log.info("exit-step", site=leaver.row.site, step=step.value, decision=said.decision.value)
    if said.decision is Decision.RETRAIN and leaver.force is not None:
        rewinding.rewind(base, leaver.connection, leaver.row.site, leaver.force, seq)
    if said.model:
        rewinding.move_base(base, leaver.connection, said.model, said.state)


def _close(leaver: Leaver) -> None:
    row, base = leaver.row, leaver.base
    rests_on = [row.seq, *exits.steps_of(leaver.connection, row.seq)]
    body = {"exit": row.seq, "site": row.site, "rests_on": rests_on}
    base.chronicle.say(leaver.connection, "exit-closed", body, now=base.now())


# --- each step: what it says, or None while it cannot be taken -------------------------------


def _quiesce(leaver: Leaver) -> Said:
    """Say which round it dropped out of; a consent that ended has taken it out by now."""
    number = exits.round_at(leaver.connection, leaver.row.seq, leaver.row.site)
    newest = record.last_round(leaver.connection)[0]
    if number is None or number != newest:
        return Said(Decision.NO_ROUND)
    return Said(Decision.DROPPED_OUT, (number,))


def _bar(_leaver: Leaver) -> Said:
    return Said()


def _clean(leaver: Leaver) -> Said | None:
    """Its updates are deleted by now; SCAFFOLD's c begins anew, since its c_i is in it."""
    state = kept.blob_note(leaver.connection, "state")
    force, site = leaver.force, leaver.row.site
    remaining = [one for one in committed(leaver.connection) if not one.undone]
    if (
        force is None
        or force.agreement.strategy.name != "scaffold"
        or state is None
        or leaver.goes_back
        or not touched(remaining, site)
    ):
        return Said()
    if roundbook.running(leaver.connection) is not None:
        return None
    return Said(Decision.CONTROL_RESTARTED, (), remaining[-1].model_out, "")


def _list(leaver: Leaver) -> Said:
    connection, site = leaver.connection, leaver.row.site
    found = tuple(one.round for one in touched(committed(connection), site))
    return Said(rounds=found, releases=tuple(project_settling.inside_of(connection, site)))


def _settle_training(leaver: Leaver) -> Said:
    gone = going_back(committed(leaver.connection), leaver.row.site)
    if leaver.force is None or not gone:
        return Said()
    if not leaver.goes_back:
        return Said(Decision.CONTINUE)
    # SCAFFOLD's c and each c_i begin anew: nobody keeps what they were in that round.
    state = "" if leaver.force.agreement.strategy.name == "scaffold" else gone[0].state_in
    undone = tuple(one.round for one in gone)
    return Said(Decision.RETRAIN, undone, gone[0].model_in, state)


def _settle_releases(leaver: Leaver) -> Said | None:
    """Recall what the agreement recalls; whatever else waits for its operators."""
    connection, base = leaver.connection, leaver.base
    decided = project_settling.decided(connection, leaver.row.seq)
    undecided = [name for name, said in decided.items() if said is Decision.NOTHING]
    document = record.agreement_that_binds(connection)
    if undecided and document and document.agreement.exits.releases == BY_ITSELF.value:
        for name in undecided:
            body = released.settling(connection, name, leaver.row.site, BY_ITSELF)
            base.chronicle.say(connection, "release-settled", body, now=base.now())
    elif undecided:
        return None
    return Said(settled(project_settling.decided(connection, leaver.row.seq).values()))


_STEPS: Final[Mapping[Step, Callable[[Leaver], Said | None]]] = {
    Step.QUIESCE: _quiesce,
    Step.BAR: _bar,
    Step.CLEAN: _clean,
    Step.LIST: _list,
    Step.SETTLE_TRAINING: _settle_training,
    Step.SETTLE_RELEASES: _settle_releases,
}
