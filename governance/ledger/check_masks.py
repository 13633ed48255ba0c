"""State rules of masked sums; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger.replay import Masking
from governance.secagg.terms import STEPS, UNMASKED, threshold_of
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry
    from governance.ledger.replay import Attempt, State

_IN_SUM: Final = "masked"
_DROPPED_AT: Final = "signed"


def masking_step(state: State, entry: Entry) -> None:
    """Take one step of a masked sum."""
    body, attempt = entry.body, state.running(entry.body)
    sites, step, purpose = set(body["sites"]), str(body["step"]), str(body["purpose"])
    before = attempt.masks.get(purpose, Masking(str(body["terms"]), "", attempt.sites))
    # 1. One run has one set of terms, and its steps follow each other. Stops a second sum of
    #    the same updates, whose difference to the first is one hospital's.
    place = STEPS.index(before.step) + 1 if before.step else 0
    if before.terms != body["terms"] or step != (*STEPS, UNMASKED)[place]:
        raise Refused("a step of the masked sum does not follow", rule="mask-step")
    # 2. Who takes a step took the one before. Stops a site from being slipped in.
    if not sites <= before.sites:
        raise Refused("a site takes a step and not the one before", rule="mask-sites")
    # 3. Enough take it. Stops a sum of one hospital, or of few.
    if len(sites) < threshold_of(len(attempt.sites)):
        raise Refused(f"{len(sites)} sites are too few in a masked sum", rule="mask-sites")
    # 4. Keys are asked for of those alone that shared and are not in the sum. Stops laying
    #    bare what a hospital sent.
    dropped = set(body["dropped"])
    expected = before.shared - before.summed if step == _DROPPED_AT else frozenset()
    if dropped != expected:
        raise Refused("the key of a site in the sum is asked for", rule="mask-dropped")
    if step != UNMASKED:
        attempt.masks[purpose] = before.after(step, frozenset(sites))


def check_summed(attempt: Attempt, body: Mapping[str, list[str]]) -> None:
    """Check that a masked round counts who is in its sum: stops a hospital being left out.

    Masked vectors without a sum's steps stop a sum from being opened off the record.
    """
    run = attempt.masks.get("train")
    if run is None:
        if any(attempt.contributions[site].masked for site in body["sites_in"]):
            raise Refused(
                "its updates are masked, and no step of a sum is said", rule="mask-step"
            )
        return
    if run.step != STEPS[-1] or set(body["sites_in"]) != run.summed:
        raise Refused("it counts other sites than those in the masked sum", rule="mask-sites")
