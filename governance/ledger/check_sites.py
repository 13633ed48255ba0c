"""State rules of what a hospital's agent says; each check names the attack it stops.

A contribution that breaks a rule is a fault unless the coordinator refused it, in the log,
before its round ended: that is what refusing is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance import noised
from governance.ledger import check_masks, lateness, spending
from governance.ledger.replay import Contributed, Fault
from governance.privacy.releases import METRICS, TRAINING
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry
    from governance.ledger.replay import Attempt, State
    from governance.ledger.spending import Reserved


def budget_reserved(state: State, entry: Entry) -> None:
    """Add a reservation to what its cohort has spent."""
    site = entry.actor_name
    reserved = spending.read(entry.seq, entry.body)
    # 1. One reservation pays for one training. Stops paying once and training twice.
    if (site, reserved.task) in state.tasks:
        raise Refused(f"{site} reserved twice for one task", rule="reserved-twice")
    state.tasks.add((site, reserved.task))
    state.reserved.setdefault((site, reserved.round), []).append(reserved)
    releases = state.spending.take(site, reserved).releases
    # 2. The site's own figure is no lower than ours. Stops understating what was spent.
    if state.spending.forgets(site, reserved) or spending.exceeds(
        releases, reserved.delta, reserved.stated
    ):
        raise Refused(
            f"{site} states less ε than its reservations come to", rule="epsilon-understated"
        )
    # 3. It is within the cap that the officer signed. Stops spending what nobody granted.
    agreement = str(entry.body["agreement"])
    terms = state.standing.check_permitted(site, agreement, entry.received_at).terms
    if terms is not None and spending.exceeds(releases, terms.delta, terms.cap):
        raise Refused(f"{site} spends more ε than its consent allows", rule="budget-exceeded")


def store_recovered(state: State, entry: Entry) -> None:
    """Hold what a hospital takes as spent after its store was lost against its reservations."""
    site, spent = entry.actor_name, entry.body["spent"]
    if entry.body["size"] > entry.seq:
        raise Refused(
            f"{site} says that it read more entries than there were", rule="recovery-misstated"
        )
    for (name, cohort), held in state.spending.cohorts.items():
        if name != site:
            continue
        # 1. It is no less than the reservations in the log come to. Stops a loss from being
        #    used to have patients' privacy back.
        said = spent.get(cohort, {"delta": "0", "epsilon": "0"})
        delta = float(said["delta"])
        if delta <= 0 or spending.exceeds(held.releases, delta, float(said["epsilon"])):
            raise Refused(
                f"{site} takes less ε as spent than its reservations come to",
                rule="epsilon-understated",
            )
    state.spending.remember(site, spent)


def contribution_made(state: State, entry: Entry) -> None:
    """Add a contribution to its attempt."""
    site, body = entry.actor_name, entry.body
    attempt = state.attempt(body)
    fault = None
    try:
        _check_contribution(state, attempt, entry)
    except Refused as broken:
        fault = Fault(entry.seq, broken.rule, f"the contribution of {site}: {broken.what}")
    update = str(body["update"])
    attempt.contributions[site] = Contributed(
        entry.seq, update, fault, "of" in body, int(body["size"])
    )
    trained_in = int(body.get(lateness.TRAINED_IN, attempt.round))
    state.updates.setdefault((site, trained_in), set()).add(_made_of(body))


def evaluation_made(state: State, entry: Entry) -> None:
    """Check figures of a candidate."""
    attempt, site = state.attempt(entry.body), entry.actor_name
    # 1. The site was asked. Stops figures of a hospital that took no part.
    if site not in attempt.sites | attempt.drawn_from:
        raise Refused(f"{site} was not asked in this round", rule="not-asked")
    # 2. Noised ones were paid for, each by a reservation of its own. Stops a release of
    #    held-out patients' data that nobody counted.
    if entry.body["mechanism"] == noised.MECHANISM:
        here = (site, attempt.round, attempt.attempt)
        state.evaluated[here] = state.evaluated.get(here, 0) + 1
        paid = _paid(state, site, attempt, METRICS)
        if state.evaluated[here] > len(paid):
            raise Refused("no budget was reserved for these figures", rule="no-reservation")
        # 3. Summed ones are masked, in their turn. Stops one hospital's from being read.
        check_masks.evaluated(attempt, site, entry.body)
        # 4. They state no less ε than was reserved. Stops understating what was spent.
        if float(entry.body.get("epsilon", "inf")) + spending.TOLERANCE < paid[-1].stated:
            raise Refused("it states less ε than was reserved", rule="epsilon-understated")


def _paid(state: State, site: str, attempt: Attempt, purpose: str) -> list[Reserved]:
    """Return what a site reserved for one purpose in just this attempt."""
    return [
        one
        for one in state.reserved.get((site, attempt.round), [])
        if one.attempt == attempt.attempt and one.purpose == purpose
    ]


def complaint(state: State, entry: Entry) -> None:
    """Check that the site was asked: stops complaints about a sum that it was never in."""
    attempt = state.attempt(entry.body)
    if entry.actor_name not in attempt.sites | attempt.drawn_from:
        raise Refused(f"{entry.actor_name} was not asked in this round", rule="not-asked")


def _check_contribution(state: State, attempt: Attempt, entry: Entry) -> None:
    site = entry.actor_name
    # 1. The round is open and asked this site. Stops slipping an update in.
    if attempt.end != "open" or site not in attempt.sites:
        raise Refused("this round did not ask for it", rule="not-asked")
    # 2. Consent in force at this moment for these very terms. Stops using a hospital's patients
    #    before it agreed, after it withdrew, or under other terms.
    state.standing.check_permitted(site, attempt.agreement, entry.received_at)
    # 3. It starts from the round's model. Stops an update that fits another model.
    origin = _origin(state, attempt, site, entry.body)
    if entry.body["base"] != origin.model:
        raise Refused("it starts from another model than its round", rule="other-base")
    # 4. It was paid for before. Stops a release of patients' data that nobody counted.
    _check_paid(state, site, origin, entry.body)


def _origin(state: State, attempt: Attempt, site: str, body: Mapping[str, Any]) -> Attempt:
    """Return the attempt that an update was trained in: this one, or the one it was late for.

    Stops an update of long ago, of other terms, one that counted, and one that was undone.
    """
    if not lateness.is_late(body):
        return attempt
    before = state.closing(int(body[lateness.TRAINED_IN]))
    if (
        before is None
        or (before.round, before.agreement) != (attempt.round - 1, attempt.agreement)
        or site not in before.late
        or (before.made, before.made_state) != (attempt.model, attempt.state)
    ):
        raise Refused("it was not late in the round before", rule="late-update")
    return before


def _made_of(body: Mapping[str, Any]) -> str:
    """Return what tells one update from another; under masks, what the vector is made of."""
    return str(body["of"] if "of" in body else body["update"])


def _check_paid(state: State, site: str, attempt: Attempt, body: Mapping[str, Any]) -> None:
    """Check the reservation; a retry may send an update again that was paid for once."""
    sent = state.updates.get((site, attempt.round), set())
    earlier = state.reserved.get((site, attempt.round), [])
    paid = [
        one for one in earlier if one.attempt <= attempt.attempt and one.purpose == TRAINING
    ]
    is_new = _made_of(body) not in sent
    if not paid or (is_new and len(sent) >= len(paid)):
        raise Refused("no budget was reserved for it", rule="no-reservation")
    if int(body["steps"]) > max(one.release.steps for one in paid):
        raise Refused("it took more steps than were reserved", rule="no-reservation")
    least = paid[-1].stated if is_new else min(one.stated for one in paid)
    if float(body["epsilon"]) + spending.TOLERANCE < least:
        raise Refused("it states less ε than was reserved", rule="epsilon-understated")
