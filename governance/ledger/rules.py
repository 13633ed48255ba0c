"""What may follow what in the log: the state rules, replayed from nothing.

Pure and without the projections: an entry goes in, and the fault that it is comes out, or
nothing. The coordinator's own admission says much the same with its tables; that both were
written apart is what makes this one worth asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import (
    check_exits,
    check_keeping,
    check_masks,
    check_members,
    check_privacy,
    check_releases,
    check_rounds,
    check_settling,
    check_sites,
    check_statistics,
)
from governance.ledger.operators import is_act
from governance.ledger.replay import Fault, State
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from governance.ledger.entry import Entry

_CHECKS: Final[Mapping[str, Callable[[State, Entry], None]]] = {
    "agreement-in-force": check_rounds.agreement_in_force,
    "budget-reserved": check_sites.budget_reserved,
    "round-opened": check_rounds.round_opened,
    "store-recovered": check_sites.store_recovered,
    "contribution-made": check_sites.contribution_made,
    "contribution-refused": check_rounds.contribution_refused,
    "evaluation-made": check_sites.evaluation_made,
    "statistics-released": check_statistics.statistics_released,
    "statistics-combined": check_statistics.statistics_combined,
    "privacy-audited": check_privacy.privacy_audited,
    "candidate-rejected": check_rounds.candidate_rejected,
    "masking-step": check_masks.masking_step,
    "evaluation-opened": check_masks.evaluation_opened,
    "evaluation-summed": check_masks.evaluation_summed,
    "evaluation-missing": check_masks.evaluation_missing,
    "complaint": check_sites.complaint,
    "round-closed": check_rounds.round_closed,
    "round-abandoned": check_rounds.round_abandoned,
    "updates-deleted": check_rounds.updates_deleted,
    "release-published": check_releases.published,
    "release-given": check_releases.given,
    "release-recalled": check_settling.release_recalled,
    "release-settled": check_settling.release_settled,
    "release-fetched": check_releases.fetched,
    "consent-withdrawn": check_exits.consent_withdrawn,
    "exit-requested": check_exits.exit_requested,
    "exit-step": check_exits.exit_step,
    "exit-closed": check_exits.exit_closed,
    "hold-set": check_keeping.hold_set,
    "hold-lifted": check_keeping.hold_lifted,
    "erasure-requested": check_keeping.erasure_requested,
    "erased": check_keeping.erased,
    "log-recovered": check_members.log_recovered,
    "log-accepted": check_members.log_accepted,
}
"""What is checked for a kind, beside what `Standing` does with agreements and consents."""

_ENDS_A_ROUND: Final = frozenset({"round-closed", "round-abandoned"})


class Replay:
    """The state rules over a log, entry by entry."""

    def __init__(self) -> None:
        self.state = State()

    def take(self, entry: Entry) -> Fault | None:
        """Let an entry take effect; return the first fault that it shows, if any.

        A contribution's own fault is shown once its round ends without having refused it.
        """
        kind = entry.statement.kind
        try:
            if is_act(entry.statement):
                check_members.act(self.state, entry)
            check_members.keys(self.state, entry)
            self.state.standing.take(entry)
            if kind in _CHECKS:
                _CHECKS[kind](self.state, entry)
        except (Refused, PeerFault) as broken:
            said = f"{kind} of {entry.statement.actor}"
            return Fault(entry.seq, broken.rule, f"{said}: {broken.what}")
        self.state.latest = entry.received_at
        if entry.statement.commitments:
            self.state.keeping.commits(entry)
        if kind in _ENDS_A_ROUND:
            return self.state.attempt(entry.body).fault
        return None

    def doubtful(self) -> Fault | None:
        """Return the first contribution that should have been refused and was not yet."""
        attempts = self.state.attempts.values()
        faults = [attempt.fault for attempt in attempts if attempt.fault is not None]
        return min(faults, key=lambda fault: fault.seq, default=None)
