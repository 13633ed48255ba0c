"""State rules of what becomes of releases at an exit; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.exits import BY_ITSELF, Decision, Step, settled
from governance.ledger import check_releases
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry
    from governance.ledger.replay import Leaving, State


def step(state: State, known: Leaving, entry: Entry) -> None:
    """Check what a step of an exit says of releases, and take it."""
    said, site = list(entry.body["releases"]), known.site
    listed = Step(entry.body["step"]) is Step.LIST
    standing = {name for name, one in state.releases.items() if one.recalled_seq is None}
    expected = sorted(name for name in standing if site in state.releases[name].sites)
    # 1. The impact names each one that stands with the site inside. Stops hiding a release.
    if said != (expected if listed else []):
        raise Refused(
            f"it names other releases than those with {site} inside", rule="exit-releases"
        )
    # 2. Each is decided before they are settled, and so. Stops an end over an open question.
    last = entry.body["step"] == Step.SETTLE_RELEASES.value
    if last and settled(known.releases.values()).value != entry.body["decision"]:
        raise Refused("its releases were decided otherwise", rule="exit-releases")
    known.releases |= dict.fromkeys(said, Decision.NOTHING)


def release_settled(state: State, entry: Entry) -> None:
    """Take a decision on a release that an exit lists."""
    body, name = entry.body, str(entry.body["release"])
    decision = Decision(body["decision"])
    released = check_releases.standing(state, entry)
    # 1. An exit of this site lists it, undecided. Stops a decision before anybody left.
    waiting = [
        known
        for known in state.exits.values()
        if known.site == body["site"] and known.releases.get(name) is Decision.NOTHING
    ]
    if not waiting:
        raise Refused(
            f"no exit of {body['site']} waits for a decision on {name}", rule="not-to-settle"
        )
    # 2. A ground is said for what is kept. Stops keeping a model without a reason.
    if decision is Decision.KEEP and not entry.statement.commitments:
        raise Refused(f"it keeps {name} without a ground", rule="keep-without-ground")
    # 3. The coordinator keeps nothing by itself. Stops it from speaking for operators.
    if entry.statement.actor == "coordinator" and decision is not BY_ITSELF:
        raise Refused(f"the coordinator keeps {name} by itself", rule="not-yours")
    if decision is Decision.RECALL:
        released.recalled_seq = entry.seq
        recalled(state, name)
    else:
        waiting[0].releases[name] = decision


def release_recalled(state: State, entry: Entry) -> None:
    """Take a release back; no exit waits for it any more."""
    check_releases.standing(state, entry).recalled_seq = entry.seq
    recalled(state, str(entry.body["release"]))


def recalled(state: State, name: str) -> None:
    """Let every exit that waits for a release know that it is recalled."""
    for known in state.exits.values():
        if known.releases.get(name) is Decision.NOTHING:
            known.releases[name] = Decision.RECALL
