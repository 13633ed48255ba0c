"""State rules of statistics of patients; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import normalisation
from governance.ledger.project_statistics import COMBINED, check_made_of
from governance.ledger.replay import Fault
from governance.privacy.releases import STATISTICS
from protos.errors import PeerFault, Refused

__all__ = ["COMBINED", "fault_of_values", "statistics_combined", "statistics_released"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.ledger.entry import Entry
    from governance.ledger.replay import State
    from protos.words import Disclosure


def statistics_released(state: State, entry: Entry) -> None:
    """Take statistics of a site."""
    site, attempt = entry.actor_name, state.attempt(entry.body)
    # 1. Consent in force at this moment. Stops statistics of a hospital that withdrew.
    state.standing.check_permitted(site, attempt.agreement, entry.received_at)
    # 2. Each vector was paid for. Stops a release of patients' data that nobody counted.
    mine = [one for _, one in state.statistics if one.actor == entry.statement.actor]
    label = normalisation.LABEL
    said = {one.commitments[label] for one in (*mine, entry.statement)}
    paid = [
        one
        for (name, _), reserved in state.reserved.items()
        if name == site
        for one in reserved
        if one.purpose == STATISTICS
    ]
    if len(said) > len(paid):
        raise Refused("no budget was reserved for these statistics", rule="no-reservation")
    state.statistics.append((entry.seq, entry.statement))


def statistics_combined(state: State, entry: Entry) -> None:
    """Take what the statistics of a basis were combined to."""
    body, attempt = entry.body, state.running(entry.body)
    basis = str(body["basis"])
    # 1. Once for a basis. Stops a second set in place of the first.
    if basis in state.combined:
        raise Refused("there are statistics of this basis already", rule="combined-twice")
    # 2. They are of what these sites said. Stops an invented hospital, and one left out.
    check_made_of(body, [one for _, one in state.statistics if one.body["basis"] == basis])
    # 3. Each of them consents now. Stops statistics of a hospital that withdrew.
    for site in sorted(body["sites"]):
        state.standing.check_permitted(site, attempt.agreement, entry.received_at)
    # 4. Nothing was trained in their round before. Stops a model by other statistics.
    if attempt.contributions:
        raise Refused("their round was trained in before", rule="combined-late")
    state.combined[basis] = entry.seq


def fault_of_values(
    state: State, entry: Entry, told: Mapping[int, Sequence[Disclosure]]
) -> Fault | None:
    """Return the fault of combined statistics that are not those of what was released.

    Only where every vector is still disclosed to whoever asks.
    """
    body = entry.body
    texts = {
        one.commitments[normalisation.LABEL]: each.value
        for seq, one in state.statistics
        for each in told.get(seq, ())
        if each.label == normalisation.LABEL
    }
    if not set(body["released"]) <= texts.keys():
        return None
    scales = normalisation.read(body["values"])
    ranges = {name: (one.low, one.high) for name, one in scales.items()}
    try:
        made = [normalisation.parse(texts[each]) for each in body["released"]]
        same = scales == normalisation.combined_in(made, ranges)
    except PeerFault:
        same = False
    if same:
        return None
    said = f"{entry.statement.kind} of {entry.statement.actor}"
    why = "its means and deviations are not those of what the hospitals released"
    return Fault(entry.seq, "statistics-invented", f"{said}: {why}")
