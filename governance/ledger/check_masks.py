"""State rules of masked sums; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger.replay import Evaluating, Masking
from governance.secagg.terms import EVALUATE, FEWEST, STEPS, TRAIN, UNMASKED, threshold_of
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from governance.ledger.entry import Entry
    from governance.ledger.replay import Attempt, State

_IN_SUM: Final = "masked"
_DROPPED_AT: Final = "signed"


def masking_step(state: State, entry: Entry) -> None:
    """Take one step of a masked sum."""
    body, attempt = entry.body, state.running(entry.body)
    sites, step, purpose = set(body["sites"]), str(body["step"]), str(body["purpose"])
    asked = attempt.sites if purpose == TRAIN else _figures_at_work(attempt).sites
    before = attempt.masks.get(purpose, Masking(str(body["terms"]), "", asked))
    # 1. One run has one set of terms, and its steps follow each other. Stops a second sum of
    #    the same updates, whose difference to the first is one hospital's.
    place = STEPS.index(before.step) + 1 if before.step else 0
    if before.terms != body["terms"] or step != (*STEPS, UNMASKED)[place]:
        raise Refused("a step of the masked sum does not follow", rule="mask-step")
    # 2. Who takes a step took the one before. Stops a site from being slipped in.
    if not sites <= before.sites:
        raise Refused("a site takes a step and not the one before", rule="mask-sites")
    # 3. Enough take it. Stops a sum of one hospital, or of few.
    if len(sites) < threshold_of(len(asked)):
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
    run = attempt.masks.get(TRAIN)
    if run is None:
        if any(attempt.contributions[site].masked for site in body["sites_in"]):
            raise Refused(
                "its updates are masked, and no step of a sum is said", rule="mask-step"
            )
        return
    if run.step != STEPS[-1] or set(body["sites_in"]) != run.summed:
        raise Refused("it counts other sites than those in the masked sum", rule="mask-sites")
    # Vectors of one sum have one length and one number of bits, compressed or not. Stops a
    # record that counts an update which cannot be in the sum that was opened.
    if len({attempt.contributions[site].size for site in body["sites_in"]}) > 1:
        raise Refused("it counts masked updates of different sizes", rule="mask-size")


def evaluation_opened(state: State, entry: Entry) -> None:
    """Begin to sum figures of a candidate under masks."""
    body, attempt = entry.body, state.running(entry.body)
    updates, sites = attempt.masks.get(TRAIN), frozenset(body["sites"])
    # 1. Once, of what its masked updates came to. Stops a second sum of the same patients'
    #    figures, and figures of a model that is none of this round.
    if attempt.figures is not None or updates is None or updates.step != STEPS[-1]:
        raise Refused(
            "figures are asked for twice, or before the updates' sum was opened",
            rule="mask-step",
        )
    # 2. Of enough, all of whom may be asked. Stops a sum that is one hospital's figures.
    if len(sites) < FEWEST or not sites <= attempt.sites | attempt.drawn_from:
        raise Refused("figures are asked of too few sites, or of others", rule="mask-sites")
    # 3. Each consents now. Stops asking one that said no.
    for site in sorted(sites):
        state.standing.check_permitted(site, attempt.agreement, entry.received_at)
    attempt.figures = Evaluating(str(body["model"]), sites)


def evaluated(attempt: Attempt, site: str, body: Mapping[str, Any]) -> None:
    """Take a site's statement of figures with noise."""
    masked, run = "masked" in body, attempt.masks.get(EVALUATE)
    # 1. Masked where figures are summed, and only there. Stops a hospital's own from being
    #    read after all.
    if masked is not (attempt.figures is not None):
        raise Refused("figures are masked where none are summed, or not", rule="mask-step")
    if attempt.figures is None:
        return
    # 2. Of the sum's model, by one that shared, before it is said who is in. Stops a vector
    #    under keys that were opened.
    if run is None or run.step != "shares" or site not in run.shared:
        raise Refused("masked figures out of their turn", rule="mask-step")
    if body["model"] != attempt.figures.model:
        raise Refused("masked figures are of another model than the sum", rule="other-model")
    attempt.figures.said.add(site)


def evaluation_summed(state: State, entry: Entry) -> None:
    """End a sum of figures: it was opened, of just these sites."""
    attempt = state.running(entry.body)
    figures, run = _figures_of(attempt), attempt.masks.get(EVALUATE)
    # 1. Every step is on record, and it ends once. Stops a sum opened off the record.
    if run is None or run.step != STEPS[-1] or figures.ended:
        raise Refused("a sum of figures without all of its steps", rule="mask-step")
    # 2. Of those in the sum, each of whom stated its vector. Stops other figures from standing
    #    in the place of the sum.
    if set(entry.body["sites"]) != run.summed or not run.summed <= figures.said:
        raise Refused("figures of other sites than those in the sum", rule="mask-sites")
    _check_model(attempt, entry.body["model"])
    figures.ended = "summed"


def evaluation_missing(state: State, entry: Entry) -> None:
    """End a sum of figures that too few came to, or say that none was begun."""
    attempt = state.running(entry.body)
    if attempt.figures is None:  # too few were here to be asked
        attempt.figures = Evaluating(str(entry.body["model"]), frozenset(), ended="missing")
        return
    if attempt.figures.ended:
        raise Refused("a sum of figures ends twice", rule="mask-step")
    _check_model(attempt, entry.body["model"])
    attempt.figures.ended = "missing"


def check_judged(attempt: Attempt, model: str) -> None:
    """Check that the model that is committed or rejected is the one that figures are of.

    Stops figures of one model from standing for another, and a sum that nobody hears of.
    """
    if attempt.figures is None:
        return
    if not attempt.figures.ended:
        raise Refused("its sum of figures is left out of the record", rule="mask-step")
    _check_model(attempt, model)


def _check_model(attempt: Attempt, model: str) -> None:
    if model != _figures_of(attempt).model:
        raise Refused("its figures are of another model", rule="other-model")


def _figures_at_work(attempt: Attempt) -> Evaluating:
    figures = _figures_of(attempt)
    if figures.ended:
        raise Refused("a step of a sum of figures that had ended", rule="mask-step")
    return figures


def _figures_of(attempt: Attempt) -> Evaluating:
    if attempt.figures is None:
        raise Refused("no figures were asked for under masks", rule="mask-step")
    return attempt.figures
