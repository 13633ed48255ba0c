"""State rules of exits; each check names the attack it stops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from governance.consent import Consent
from governance.exits import (
    ALLOWED,
    MOVES_BASE,
    Decision,
    Exit,
    Scope,
    Step,
    advance,
    bases,
    rounds_of,
)
from governance.ledger import check_settling
from governance.ledger.replay import Committed, Leaving
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry
    from governance.ledger.replay import State


def consent_withdrawn(state: State, entry: Entry) -> None:
    """Begin the exit from one agreement, where the site had consented to it."""
    site = entry.actor_name
    held = state.standing.consent(site, str(entry.body["agreement"]))
    if held is None or held.terms is None or held.state is not Consent.WITHDRAWN:
        return
    _begin(state, entry, site, Scope.AGREEMENT)


def exit_requested(state: State, entry: Entry) -> None:
    """Begin the exit from the federation."""
    body, site = entry.body, str(entry.body["site"])
    own = entry.statement.actor == f"site/{site}"
    # 1. Who says it may. Stops one hospital from taking another out, and an operator from
    #    saying that a hospital left of its own wish.
    if (body["cause"] == "own-wish") != own:
        raise Refused(f"{entry.statement.actor} cannot say that {site} left", rule="not-yours")
    # 2. It is not out already. Stops a second exit beside the first.
    if any(_goes_on(known, site) for known in state.exits.values()):
        raise Refused(f"{site} was leaving already", rule="leaving")
    _begin(state, entry, site, Scope.FEDERATION)


def exit_step(state: State, entry: Entry) -> None:
    """Take an exit one step on."""
    body = entry.body
    known, step = _known(state, body), Step(body["step"])
    decision = Decision(body["decision"])
    # 1. This step is due. Stops a step from being left out: its entry would be missing.
    after = advance(known.scope, known.state, step)
    # 2. It decides what it may. Stops a word that means nothing.
    if decision not in ALLOWED[step]:
        raise Refused(f"{step.value} does not decide {body['decision']!r}", rule="exit-step")
    # 3. It names the rounds that the site touched. Stops hiding a model with its patients in.
    newest = None if state.last is None else state.last.round
    expected = rounds_of(step, decision, state.closed, known.site, newest=newest)
    if list(body["rounds"]) != expected:
        raise Refused(
            f"it names the rounds {_list(body['rounds'])} of {known.site}, but by the record "
            f"they are {_list(expected)}",
            rule="exit-rounds",
        )
    # 4. It names the releases with the site inside, and settles them once each is decided.
    #    Stops closing an exit over a model that nobody decided on.
    check_settling.step(state, known, entry)
    # 5. It goes back to the model before the site's first contribution, and to no other. Stops
    #    slipping a model in, and calling a model free of a hospital that is in it.
    _check_base(state, known.site, decision, body)
    known.state = after
    known.rests_on.append(entry.seq)
    if decision is Decision.RETRAIN:
        gone = set(expected)
        state.closed = [
            replace(one, undone=True) if one.round in gone else one for one in state.closed
        ]
        for attempt in state.attempts.values():
            attempt.undone = attempt.undone or attempt.round in gone


def exit_closed(state: State, entry: Entry) -> None:
    """End an exit."""
    known = _known(state, entry.body)
    known.state = advance(known.scope, known.state, Step.CLOSE)
    # It rests on each step. Stops an end that leaves something undone.
    if list(entry.body["rests_on"]) != known.rests_on:
        raise Refused("it does not rest on the steps of its exit", rule="rests-on-nothing")


def _begin(state: State, entry: Entry, site: str, scope: Scope) -> None:
    state.exits[entry.seq] = Leaving(site, scope, Exit.REQUESTED, [entry.seq])


def _goes_on(known: Leaving, site: str) -> bool:
    same = known.site == site and known.scope is Scope.FEDERATION
    return same and known.state is not Exit.CLOSED


def _known(state: State, body: Mapping[str, Any]) -> Leaving:
    known = state.exits.get(int(body["exit"]))
    if known is None or known.site != body["site"]:
        raise Refused(f"{body['site']} has no such exit", rule="no-exit")
    return known


def _check_base(state: State, site: str, decision: Decision, body: Mapping[str, Any]) -> None:
    said = Committed(str(body["model"]), str(body["state"]))
    if decision not in MOVES_BASE:
        if said != Committed("", ""):
            raise Refused("it names a model where none is moved to", rule="exit-step")
        return
    if state.last is None or state.last.end == "open":
        raise Refused("it moves the model while a round is open", rule="round-open")
    if (said.model, said.state) not in bases(decision, state.closed, site):
        raise Refused(
            f"it goes back to the model {said.model[:8]}, which is not the last one without "
            f"{site}",
            rule="other-base",
        )
    state.committed[state.last.agreement] = said


def _list(rounds: list[int]) -> str:
    return ", ".join(map(str, rounds)) or "none"
