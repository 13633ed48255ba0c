"""What leaving projects: the exit and its state, each step, and the end of keys and consents.

An exit begins with `exit-requested` (the whole federation) or with a consent that is withdrawn
(one agreement). It is named by the seq of that entry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Row, bindparam, insert, select, update

from governance import canonical, consent
from governance.consent import Consent, Event
from governance.exits import (
    ALLOWED,
    MOVES_BASE,
    Closed,
    Decision,
    Exit,
    Scope,
    Step,
    advance,
    bases,
    going_back,
    rounds_of,
)
from governance.ledger import project_settling
from governance.ledger.prepared import Prepared
from governance.ledger.project_members import act
from governance.ledger.schema import consents, exit_steps, exits, keys, rounds
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry

OWN_WISH: Final = "own-wish"
REMOVED: Final = "removed"
_LEAVES: Final = Scope.FEDERATION.value
_SINCE: Final = Prepared(
    select(exits).where(exits.c.seq > bindparam("since")).order_by(exits.c.seq)
)
_MOVED: Final = Prepared(
    select(exit_steps.c.model, exit_steps.c.state)
    .where(exit_steps.c.seq > bindparam("since"), exit_steps.c.model != "")
    .order_by(exit_steps.c.seq.desc())
    .limit(1)
)
"""Asked for every round."""


def leaves(c: Connection, site: str) -> Row[Any] | None:
    """Return the exit of a site that left the federation and did not enrol again, or None."""
    row = c.execute(
        select(exits)
        .where(exits.c.site == site, exits.c.scope == _LEAVES)
        .order_by(exits.c.seq.desc())
        .limit(1)
    ).first()
    if row is None or (Exit(row.state) is Exit.CLOSED and _current_key(c, site)):
        return None
    return row


def check_stays(c: Connection, site: str) -> None:
    """Raise Refused when a site has asked to leave, or is being removed."""
    if leaves(c, site) is not None:
        raise Refused(f"{site} is leaving the federation", rule="leaving")


def may_enrol_again(c: Connection, name: str) -> bool:
    """Tell whether a name that was enrolled before may be taken again: its exit is over."""
    row = leaves(c, name)
    return row is not None and Exit(row.state) is Exit.CLOSED


def exit_requested(c: Connection, e: Entry) -> list[Executable]:
    """Begin an exit from the federation, and end every consent of the site.

    1. It is its own, of its own wish; or an operator's, for cause. Stops one hospital from
       taking another out, and an operator from saying that it left.
    2. The site is enrolled, and not out already. Stops a second exit beside the first.
    """
    body, site = e.body, e.body["site"]
    # 1.
    own = e.statement.actor == f"site/{site}"
    if (body["cause"] == OWN_WISH) != own or (not own and not _by_operator(e)):
        raise Refused(f"{e.statement.actor} cannot say that of {site}", rule="not-yours")
    # 2.
    if not _current_key(c, site):
        raise Refused(f"{site} is not enrolled", rule="not-enrolled")
    check_stays(c, site)
    event = Event.WITHDRAWN if own else Event.LAPSED
    begun = _begun(e, site, Scope.FEDERATION, "", body["cause"])
    changes = [begun, *lapse_all(c, site, e.seq, event)]
    return changes if own else [*changes, act(e, "remove")]


def lapse_all(
    c: Connection, site: str, seq: int, event: Event = Event.LAPSED
) -> list[Executable]:
    """End every consent of a site that has not ended."""
    return [
        update(consents)
        .where(consents.c.site == site, consents.c.agreement == row.agreement)
        .values(state=consent.advance(Consent(row.state), event).value, changed_seq=seq)
        for row in c.execute(select(consents).where(consents.c.site == site)).all()
        if Consent(row.state) not in consent.ENDED
    ]


def withdrawn(e: Entry, agreement: str) -> Executable:
    """Begin an exit from one agreement; the projection of the withdrawal carries it out."""
    return _begun(e, e.actor_name, Scope.AGREEMENT, agreement, OWN_WISH)


def exit_step(c: Connection, e: Entry) -> list[Executable]:
    """Take an exit one step on.

    1. The exit is known, of this site, and this step is due. Stops steps from being left out.
    2. The step may decide that. Stops a decision where none is to be made.
    3. The rounds that it names are those that follow from the log. Stops hiding a model.
    4. So are the releases, each decided before they are settled. Stops hiding a release.
    5. A model to start from is named where the base moves, and nowhere else; no round is open
       then. Stops a model from being slipped in.
    """
    body = e.body
    # 1.
    row = _known(c, body)
    step, decision = Step(body["step"]), Decision(body["decision"])
    state = advance(Scope(row.scope), Exit(row.state), step)
    # 2.
    if decision not in ALLOWED[step]:
        raise Refused(f"{step.value} does not decide {body['decision']!r}", rule="exit-step")
    # 3.
    _check_rounds(c, row, step, decision, body["rounds"])
    # 4.
    listed = project_settling.checked_step(c, row, e)
    # 5.
    _check_base(c, row, decision, body)
    changes: list[Executable] = [
        insert(exit_steps).values(
            seq=e.seq,
            exit_seq=row.seq,
            site=row.site,
            step=step.value,
            decision=decision.value,
            rounds=canonical.encode(body["rounds"]).decode(),
            model=body["model"],
            state=body["state"],
        ),
        _moved(row, state, e),
        *listed,
    ]
    if step is Step.BAR:
        mine = (keys.c.name == row.site, keys.c.until_seq.is_(None))
        changes.append(update(keys).where(*mine).values(until_seq=e.seq))
    if decision is Decision.RETRAIN:
        undone = (rounds.c.state == "closed", rounds.c.round.in_(body["rounds"]))
        changes.append(update(rounds).where(*undone).values(undone_seq=e.seq))
    return changes


def exit_closed(c: Connection, e: Entry) -> list[Executable]:
    """End an exit; it rests on its request and on each of its steps."""
    row = _known(c, e.body)
    state = advance(Scope(row.scope), Exit(row.state), Step.CLOSE)
    steps = select(exit_steps.c.seq).where(exit_steps.c.exit_seq == row.seq)
    if e.body["rests_on"] != [row.seq, *sorted(c.execute(steps).scalars())]:
        raise Refused("it does not rest on the steps of its exit", rule="rests-on-nothing")
    return [_moved(row, state, e)]


def committed(c: Connection) -> list[Closed]:
    """Return every committed round, in the order of their closing."""
    rows = c.execute(
        select(rounds).where(rounds.c.state == "closed").order_by(rounds.c.ended_seq)
    )
    return [
        Closed(
            round=int(row.round),
            model_in=row.model_in,
            state_in=row.state_in,
            model_out=str(row.model_out),
            sites=frozenset(json.loads(row.sites_in)),
            undone=row.undone_seq is not None,
        )
        for row in rows
    ]


def left_inside(c: Connection, since: int) -> list[str]:
    """Return the sites whose exit, begun after an entry, left them in the model of today.

    An exit whose training is not settled yet leaves them in as one that settled to go on.
    """
    return [row.site for row in _SINCE.all(c, since=since) if _is_inside(c, row)]


def _is_inside(c: Connection, row: Row[Any]) -> bool:
    said = c.execute(select(exit_steps).where(exit_steps.c.exit_seq == row.seq)).all()
    steps = {Step(step.step): step for step in said}
    settled = steps.get(Step.SETTLE_TRAINING)
    if settled is None:
        return bool(going_back(committed(c), row.site))
    if Decision(settled.decision) is Decision.RETRAIN:
        return False
    listed = set(json.loads(steps[Step.LIST].rounds))
    return any(one.round in listed and not one.undone for one in committed(c))


def moved_base(c: Connection, since: int) -> tuple[str, str] | None:
    """Return the model and state that an exit moved the base to after an entry, or None."""
    row = _MOVED.first(c, since=since)
    return None if row is None else (row.model, row.state)


def _check_rounds(
    c: Connection, row: Row[Any], step: Step, decision: Decision, said: list[int]
) -> None:
    newest = c.execute(
        select(rounds.c.round).order_by(rounds.c.opened_seq.desc()).limit(1)
    ).scalar()
    if said != rounds_of(step, decision, committed(c), row.site, newest=newest):
        raise Refused(
            f"the rounds that {row.site} has touched are not those that it names",
            rule="exit-rounds",
        )


def _check_base(c: Connection, row: Row[Any], decision: Decision, body: Any) -> None:  # noqa: ANN401 - JSON
    if (body["model"] != "") != (decision in MOVES_BASE) or (
        body["state"] and not body["model"]
    ):
        raise Refused("it names a model where none is moved to", rule="exit-step")
    if decision not in MOVES_BASE:
        return
    if c.execute(select(rounds.c.round).where(rounds.c.state == "open")).first():
        raise Refused("a round is open still", rule="round-open")
    if (body["model"], body["state"]) not in bases(decision, committed(c), row.site):
        raise Refused("it goes back to another model than the last before", rule="other-base")


def _known(c: Connection, body: Any) -> Row[Any]:  # noqa: ANN401 - JSON
    row = c.execute(select(exits).where(exits.c.seq == body["exit"])).first()
    if row is None or row.site != body["site"]:
        raise Refused(f"{body['site']} has no such exit", rule="no-exit")
    return row


def _moved(row: Row[Any], state: Exit, e: Entry) -> Executable:
    change = update(exits).where(exits.c.seq == row.seq)
    return change.values(state=state.value, changed_seq=e.seq)


def _begun(e: Entry, site: str, scope: Scope, agreement: str, cause: str) -> Executable:
    return insert(exits).values(
        seq=e.seq,
        site=site,
        scope=scope.value,
        agreement=agreement,
        cause=cause,
        asked_by=e.statement.actor,
        state=Exit.REQUESTED.value,
        changed_seq=e.seq,
    )


def _current_key(c: Connection, site: str) -> bool:
    mine = (keys.c.name == site, keys.c.role == "site", keys.c.until_seq.is_(None))
    return c.execute(select(keys.c.key_id).where(*mine)).first() is not None


def _by_operator(e: Entry) -> bool:
    return e.statement.actor.startswith("operator/")
