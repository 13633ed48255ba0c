"""State rules of what the coordinator says of rounds; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.draw import draw, seed_of
from governance.exits import Closed
from governance.ledger.check_masks import check_judged, check_summed
from governance.ledger.replay import Attempt, Committed
from governance.stragglers import LATE
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry
    from governance.ledger.replay import State


def agreement_in_force(state: State, entry: Entry) -> None:
    """Check that every site it names consents now: stops a hospital that never signed."""
    for site in sorted(entry.body["sites"]):
        state.standing.check_permitted(site, str(entry.body["agreement"]), entry.received_at)
    state.in_force[str(entry.body["agreement"])] = entry.statement.digest


def round_opened(state: State, entry: Entry) -> None:
    """Open an attempt."""
    body = entry.body
    attempt = Attempt(
        round=int(body["round"]),
        attempt=int(body["attempt"]),
        agreement=str(body["agreement"]),
        model=str(body["model"]),
        state=str(body["state"]),
        sites=frozenset(body["sites"]),
        drawn_from=frozenset(body.get("drawn_from", ())),
    )
    # 1. The agreement is in force. Stops training that nobody agreed to.
    if state.standing.agreement(attempt.agreement).state != "in-force":
        raise Refused("it opens a round under an agreement not in force", rule="no-agreement")
    # 2. Rounds and attempts follow each other. Stops leaving a round out of the record.
    _check_order(state, attempt)
    # 3. It starts from what was committed. Stops a model that came from elsewhere.
    _check_base(state, attempt)
    # 4. Every site that is asked consents now. Stops asking one that said no.
    for site in sorted(attempt.sites):
        state.standing.check_permitted(site, attempt.agreement, entry.received_at)
    # 5. The sites are those that its seed draws. Stops hospitals being picked, or passed over.
    _check_drawn(state, attempt, body)
    state.attempts[attempt.round, attempt.attempt] = attempt
    state.last = attempt


def round_closed(state: State, entry: Entry) -> None:
    """Commit a model."""
    body = entry.body
    attempt = state.running(body)
    sites_in, sites_out = set(body["sites_in"]), set(body["sites_out"])
    # 1. It ends what was begun. Stops swapping the model under a round.
    if (body["model_in"], body["state_in"]) != (attempt.model, attempt.state):
        raise Refused("it closes a round from another model", rule="other-base")
    # 2. Who is in or out was asked, nobody is both. Stops invented participants.
    if not sites_in or sites_in & sites_out or not sites_in | sites_out <= attempt.sites:
        raise Refused("it counts sites that were not asked, or none", rule="round-sites")
    for site in sorted(sites_in):
        # 3. A contribution of its own stands. Stops an update that nobody signed.
        if site not in attempt.contributions:
            raise Refused(
                f"it counts {site}, of which there is no contribution", rule="no-contribution"
            )
        # 4. Nobody who ended its consent is in it. Stops ignoring a withdrawal.
        state.standing.check_going(site, attempt.agreement, entry.received_at)
    # 5. Under masks they are those whose sum was opened. Stops a sum of other updates.
    check_summed(attempt, body)
    # 6. Figures that were summed are of this model. Stops a swap after it was judged.
    check_judged(attempt, str(body["model_out"]))
    attempt.end, attempt.counted = "closed", frozenset(sites_in)
    attempt.made, attempt.made_state = str(body["model_out"]), str(body["state_out"])
    attempt.late = frozenset(s for s, why in body["sites_out"].items() if why == LATE)
    closed = Closed(attempt.round, attempt.model, attempt.state, attempt.made, attempt.counted)
    state.closed.append(closed)
    state.committed[attempt.agreement] = Committed(
        str(body["model_out"]), str(body["state_out"])
    )


def round_abandoned(state: State, entry: Entry) -> None:
    """End an attempt without a model."""
    attempt = state.running(entry.body)
    # 1. Who broke a rule was asked. Stops a fault being laid at a hospital that had no part.
    if not entry.body.get("refused", {}).keys() <= attempt.sites:
        raise Refused("it blames a site that was not asked", rule="round-sites")
    attempt.end = "abandoned"


def candidate_rejected(state: State, entry: Entry) -> None:
    """Check that it is of a round that is open, and of the model that was judged."""
    check_judged(state.running(entry.body), str(entry.body["model"]))


def contribution_refused(state: State, entry: Entry) -> None:
    """Take a contribution out of its attempt."""
    body = entry.body
    attempt, site = state.attempt(body), str(body["site"])
    given = attempt.contributions.get(site)
    # 1. What was counted stays counted. Stops rewriting who is inside a model.
    if site in attempt.counted:
        raise Refused(f"it refuses {site} after the round was closed", rule="round-ended")
    if given is not None and given.update == body["update"]:
        del attempt.contributions[site]


def updates_deleted(state: State, entry: Entry) -> None:
    """Check that the round was over: stops losing what it still needed."""
    if state.attempt(entry.body).end == "open":
        raise Refused("it deletes the updates of a round that is still open", rule="round-open")


def _check_order(state: State, attempt: Attempt) -> None:
    last = state.last
    if last is not None and last.end == "open":
        raise Refused(
            f"it opens a round while round {last.round} is still open", rule="round-order"
        )
    expected = (1, 1)
    if last is not None:
        ended = last.end == "closed"
        expected = (last.round + 1, 1) if ended else (last.round, last.attempt + 1)
    if (attempt.round, attempt.attempt) != expected:
        raise Refused(
            f"round {attempt.round}, attempt {attempt.attempt} stands where round "
            f"{expected[0]}, attempt {expected[1]} should follow",
            rule="round-order",
        )


def _check_drawn(state: State, attempt: Attempt, body: Mapping[str, Any]) -> None:
    if "seed" not in body:
        return
    seed = seed_of(state.in_force[attempt.agreement], attempt.round)
    if body["seed"] != seed:
        raise Refused("its seed is not the one that follows for this round", rule="draw")
    if attempt.sites != set(draw(seed, attempt.drawn_from, len(attempt.sites))):
        raise Refused("it asks other sites than those that its seed draws", rule="draw")


def _check_base(state: State, attempt: Attempt) -> None:
    last = state.last
    known = state.committed.get(attempt.agreement)
    if known is None and last is not None and last.agreement == attempt.agreement:
        known = Committed(last.model, last.state)
    if known is not None and known != Committed(attempt.model, attempt.state):
        raise Refused(
            "it starts from another model than the last one committed", rule="other-base"
        )
