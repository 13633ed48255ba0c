"""Kinds of entries about training: budgets, rounds, contributions, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance import noised, subgroups
from governance.ledger import (
    attempts,
    lateness,
    project_contributions,
    project_figures,
    project_rounds,
)
from governance.ledger.fields import (
    COUNT,
    DECIMAL,
    DIGEST,
    LABEL,
    NAME,
    NUMBER,
    RULE,
    TENS,
    TIME,
    list_of,
    map_of,
    one_of,
    optional,
)
from governance.ledger.kind import AGENT, ATTEMPT, LEDGER, SITES, Carrier, Kind
from governance.privacy.releases import ALL, LOADER, METRICS, STATISTICS, UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHO: Final = {"sites_in": SITES, "sites_out": map_of(NAME, RULE)}
_STATE: Final = optional(DIGEST)
_FIGURES: Final = frozenset({"figures"})

KINDS: Final[Mapping[str, Kind]] = {
    "budget-reserved": Kind(
        AGENT,
        Carrier.SESSION,
        {
            **ATTEMPT,
            "task": LABEL,
            "cohort": LABEL,
            "sampling_rate": DECIMAL,
            "noise_multiplier": DECIMAL,
            "clip": DECIMAL,
            "expected_batch": DECIMAL,
            "steps": NUMBER,
            "delta": DECIMAL,
            "loader": one_of(LOADER, ALL),
            "unit": one_of(UNIT),
            "epsilon_total": DECIMAL,
        },
        project_contributions.budget_reserved,
        optional_fields={"purpose": one_of(METRICS, STATISTICS)},
    ),
    "round-opened": Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "model": DIGEST, "state": _STATE, "sites": SITES, "deadline": TIME},
        project_rounds.round_opened,
        optional_fields={"drawn_from": SITES, "seed": DIGEST},
    ),
    "contribution-made": Kind(
        AGENT,
        Carrier.UPLOAD,
        {
            **ATTEMPT,
            "base": DIGEST,
            "update": DIGEST,
            "size": COUNT,
            "steps": NUMBER,
            "loader": RULE,
            "unit": RULE,
            "epsilon": DECIMAL,
            "worker": DIGEST,
            "declared_patients": TENS,
        },
        project_contributions.contribution_made,
        optional_fields={"of": DIGEST},
        other_fields={lateness.TRAINED_IN: NUMBER},
    ),
    "contribution-refused": Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "site": NAME, "update": DIGEST, "refusal": RULE},
        project_contributions.contribution_refused,
    ),
    "task-refused": Kind(
        AGENT,
        Carrier.SESSION,
        {**ATTEMPT, "task": LABEL, "refusal": RULE},
        attempts.of_known_attempt,
    ),
    "evaluation-made": Kind(
        AGENT,
        Carrier.SESSION,
        {**ATTEMPT, "model": DIGEST, "mechanism": one_of("exact", noised.MECHANISM)},
        project_figures.evaluation_made,
        optional_fields={"masked": DIGEST, "epsilon": DECIMAL},
        disclosed=_FIGURES | {subgroups.LABEL},
    ),
    "candidate-rejected": Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "model": DIGEST, "refusal": RULE},
        attempts.of_open_attempt,
        disclosed=_FIGURES,
    ),
    "round-closed": Kind(
        LEDGER,
        Carrier.OWN,
        {
            **ATTEMPT,
            "model_in": DIGEST,
            "model_out": DIGEST,
            "state_in": _STATE,
            "state_out": _STATE,
            **_WHO,
        },
        project_rounds.round_closed,
    ),
    "round-abandoned": Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "reason": RULE, **_WHO},
        project_rounds.round_abandoned,
        optional_fields={"rule": RULE, "refused": map_of(NAME, RULE)},
    ),
    "updates-deleted": Kind(
        LEDGER,
        Carrier.OWN,
        {**ATTEMPT, "updates": list_of(DIGEST)},
        attempts.of_ended_attempt,
    ),
}
