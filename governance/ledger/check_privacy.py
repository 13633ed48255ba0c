"""Rules of what was tried against privacy; each check names the lie it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from governance.ledger import spending
from governance.privacy import auditing
from governance.privacy.releases import Release
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry
    from governance.ledger.replay import State

RULE: Final = "audit-misstated"
REFUTED: Final = "refuted"
MOST_CANARIES: Final = 100_000


def privacy_audited(state: State, entry: Entry) -> None:
    """Check an audit of training: who says it is a member, and it follows from its numbers."""
    agreement = str(entry.body["agreement"])
    # 1. The hospital consented once. Stops audits by who never had to do with the agreement.
    if state.standing.consent(entry.actor_name, agreement) is None:
        raise Refused(f"{entry.actor_name} never consented to these terms", rule="no-consent")
    check_figures(entry.body)
    check_bound(entry.body)


def check_figures(body: Mapping[str, Any]) -> auditing.Guesses:
    """Check what can be seen at once of an audit's figures, and return its guesses."""
    # 1. So many guesses can be. Stops figures whose check would never end.
    try:
        guesses = auditing.Guesses(body["canaries"], body["guesses"], body["right"])
    except ValueError:
        raise Refused("an audit has more guesses than canaries", rule=RULE) from None
    if guesses.canaries > MOST_CANARIES:
        raise Refused(f"an audit has more than {MOST_CANARIES:,} canaries", rule=RULE)
    # 2. The finding is what the numbers say. Stops calling a refuted claim held.
    claimed = float(body["claimed"])
    if (body["finding"] == REFUTED) is not (float(body["at_least"]) > claimed):
        raise Refused("an audit says another finding than its numbers", rule=RULE)
    # 3. Without noise it would have seen more than the claim. Stops an audit that cannot fail.
    if float(body["without_noise"]) <= claimed:
        raise Refused("an audit that finds nothing without noise proves nothing", rule=RULE)
    return guesses


def check_bound(body: Mapping[str, Any]) -> None:
    """Check that an audit's claim and bound follow from what it says was done."""
    guesses, delta = check_figures(body), float(body["delta"])
    # 1. The claim is no larger than its steps come to. Stops passing against a claim that
    #    nobody made.
    rate, noise = float(body["sampling_rate"]), float(body["noise_multiplier"])
    release = Release(rate, noise, int(body["steps"]))
    if float(body["claimed"]) > spending.epsilon((release,), delta) + spending.TOLERANCE:
        raise Refused("an audit holds against a larger ε than its steps cost", rule=RULE)
    # 2. The bound is the one of its guesses. Stops a milder one from being said.
    said, least = float(body["at_least"]), 1 - float(body["confidence"])
    above = auditing.p_value(guesses, said + spending.TOLERANCE, delta) >= least
    below = said <= spending.TOLERANCE or (
        auditing.p_value(guesses, said - spending.TOLERANCE, delta) < least
    )
    if not (above and below):
        raise Refused("an audit says another bound than its guesses give", rule=RULE)
