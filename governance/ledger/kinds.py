"""Every kind of entry: who may sign it, what carries it, what it holds, and what it changes.

The table is the law of the log: what is not in it is refused, and a kind that lacks a column
cannot be written down.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Executable

from governance.ledger import founding
from governance.ledger import project_consents as consented
from governance.ledger import project_members as members
from governance.ledger import project_rounds as trained
from governance.ledger.entry import Entry
from governance.ledger.fields import (
    ANY_KEY,
    COUNT,
    DECIMAL,
    DIGEST,
    KEY,
    LABEL,
    NAME,
    NUMBER,
    PEM,
    PLAIN,
    RULE,
    SERIAL,
    TENS,
    TIME,
    Field,
    check,
    list_of,
    map_of,
    one_of,
    optional,
    record_of,
)
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.statements import Statement

Projection = Callable[[Connection, Entry], list[Executable]]
"""Reads the projections, refuses what cannot follow, returns the changes that follow."""


class Usage(enum.StrEnum):
    """What a key is for; the column `usage` of the table `keys`."""

    AGENT = "agent"
    OFFICER = "officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    LEDGER = "ledger"
    AUTHORITY = "authority"


class Carrier(enum.StrEnum):
    """Which message brings a statement to the coordinator."""

    SESSION = "session"
    UPLOAD = "upload"
    ENROLMENT = "enrolment"
    OPERATOR = "operator"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is fixed for all entries of a kind.

    Args:
        signer: The usages of which the signer's key has one.
        carried_by: The message that brings it; OWN for what the coordinator writes itself.
        fields: What the body holds, by name.
        projection: What it changes in the tables.
        optional_fields: Beside those; an entry has all of them or none.
        disclosed: Labels that it may commit to.
        must_disclose: Labels that it must commit to.
        by_officers: Whether as many officers sign as the site's enrolment says.
    """

    signer: frozenset[Usage]
    carried_by: Carrier
    fields: Mapping[str, Field]
    projection: Projection
    optional_fields: Mapping[str, Field] = field(default_factory=dict)
    disclosed: frozenset[str] = frozenset()
    must_disclose: frozenset[str] = frozenset()
    by_officers: bool = False


_AGENT: Final = frozenset({Usage.AGENT})
_OFFICER: Final = frozenset({Usage.OFFICER})
_SITE: Final = _AGENT | _OFFICER
_OPERATOR: Final = frozenset({Usage.OPERATOR})
_LEDGER: Final = frozenset({Usage.LEDGER})
_AUTHORITY: Final = frozenset({Usage.AUTHORITY})
_NEWCOMER: Final = frozenset({Usage.AGENT, Usage.OPERATOR, Usage.AUDITOR, Usage.LEDGER})

_ROLE: Final = one_of("coordinator", "site", "operator", "auditor")
_ATTEMPT: Final = {"agreement": DIGEST, "round": NUMBER, "attempt": NUMBER}
_SITES: Final = list_of(NAME)
_WHO: Final = {"sites_in": _SITES, "sites_out": map_of(NAME, RULE)}
_STATE: Final = optional(DIGEST)
_REASON: Final = frozenset({"reason"})
_FIGURES: Final = frozenset({"figures"})
_MOVED: Final = {
    "agreement": DIGEST,
    "material": DIGEST,
    "rests_on": list_of(COUNT),
    "sites": _SITES,
}

KINDS: Final[Mapping[str, Kind]] = {
    # --- members
    "enrolled": Kind(
        _NEWCOMER,
        Carrier.ENROLMENT,
        {
            "name": NAME,
            "role": _ROLE,
            "agent": KEY,
            "officers": list_of(KEY),
            "needed": COUNT,
            "tls": DIGEST,
        },
        members.enrolled,
        optional_fields=founding.FOUNDS,
    ),
    "certificate-issued": Kind(
        _AUTHORITY,
        Carrier.OWN,
        {
            "name": NAME,
            "role": _ROLE,
            "serial": SERIAL,
            "fingerprint": DIGEST,
            "not_after": TIME,
        },
        members.certificate_issued,
    ),
    "key-rotated": Kind(
        _SITE | _LEDGER,
        Carrier.SESSION,
        {
            "name": NAME,
            "usage": one_of("agent", "officer", "authority"),
            "old": ANY_KEY,
            "new": ANY_KEY,
        },
        members.key_rotated,
        optional_fields={"issuing": PEM},
    ),
    "revoked": Kind(
        _OPERATOR,
        Carrier.OPERATOR,
        {"name": NAME, "serials": list_of(SERIAL)},
        members.revoked,
        disclosed=_REASON,
    ),
    "software-started": Kind(
        _AGENT | _LEDGER,
        Carrier.SESSION,
        {"program": LABEL, "version": LABEL, "os": LABEL},
        members.nothing,
    ),
    "operator-acted": Kind(
        _OPERATOR, Carrier.OPERATOR, {"act": RULE}, members.operator_acted, disclosed=_REASON
    ),
    # --- agreements
    "agreement-proposed": Kind(
        _OPERATOR,
        Carrier.OPERATOR,
        {
            "agreement": DIGEST,
            "material": DIGEST,
            "changes": map_of(LABEL, one_of("material", "operational", "editorial")),
        },
        consented.agreement_proposed,
    ),
    "agreement-proposal-withdrawn": Kind(
        _OPERATOR,
        Carrier.OPERATOR,
        {"agreement": DIGEST, "material": DIGEST},
        consented.proposal_withdrawn,
        disclosed=_REASON,
    ),
    "agreement-in-force": Kind(_LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-superseded": Kind(_LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-expired": Kind(_LEDGER, Carrier.OWN, _MOVED, consented.agreement_moved),
    "agreement-complete": Kind(
        _LEDGER,
        Carrier.OWN,
        _MOVED,
        consented.agreement_moved,
        optional_fields={"reason": RULE},
    ),
    # --- consent
    "consent-given": Kind(
        _OFFICER,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "material": DIGEST,
            "review": DIGEST,
            "purposes": list_of(LABEL),
            "basis": record_of(optional(LABEL), "jurisdiction", "irb", "permit", "dpa"),
            "until": TIME,
            "declared_patients": TENS,
            "cap": DECIMAL,
            "delta": DECIMAL,
            "stops_in_round": COUNT,
            "cohort": LABEL,
        },
        consented.consent_given,
        disclosed=frozenset({"officer", "role"}),
        must_disclose=frozenset({"officer", "role"}),
        by_officers=True,
    ),
    "consent-declined": Kind(
        _OFFICER,
        Carrier.SESSION,
        {"agreement": DIGEST},
        consented.consent_moved,
        disclosed=_REASON,
    ),
    "consent-objected": Kind(
        _SITE,
        Carrier.SESSION,
        {"agreement": DIGEST},
        consented.consent_moved,
        disclosed=_REASON,
    ),
    "consent-suspended": Kind(
        _SITE, Carrier.SESSION, {"agreement": DIGEST}, consented.consent_moved
    ),
    "consent-resumed": Kind(
        _OFFICER,
        Carrier.SESSION,
        {"agreement": DIGEST, "material": DIGEST},
        consented.consent_resumed,
        by_officers=True,
    ),
    "consent-withdrawn": Kind(
        _SITE, Carrier.SESSION, {"agreement": DIGEST}, consented.consent_moved
    ),
    "consent-lapsed": Kind(
        _LEDGER, Carrier.OWN, {"agreement": DIGEST, "site": NAME}, consented.consent_lapsed
    ),
    # --- data and budget
    "data-declared": Kind(
        _AGENT,
        Carrier.SESSION,
        {
            "agreement": DIGEST,
            "cohort": LABEL,
            "declared_patients": TENS,
            "schema": DIGEST,
            "expected_batch": DECIMAL,
        },
        trained.of_known_agreement,
    ),
    "budget-reserved": Kind(
        _AGENT,
        Carrier.SESSION,
        {
            **_ATTEMPT,
            "task": LABEL,
            "cohort": LABEL,
            "sampling_rate": DECIMAL,
            "noise_multiplier": DECIMAL,
            "clip": DECIMAL,
            "expected_batch": DECIMAL,
            "steps": NUMBER,
            "delta": DECIMAL,
            "loader": one_of("poisson"),
            "unit": one_of("patient"),
            "epsilon_total": DECIMAL,
        },
        trained.budget_reserved,
    ),
    # --- rounds
    "round-opened": Kind(
        _LEDGER,
        Carrier.OWN,
        {**_ATTEMPT, "model": DIGEST, "state": _STATE, "sites": _SITES, "deadline": TIME},
        trained.round_opened,
        optional_fields={"drawn_from": _SITES, "seed": DIGEST},
    ),
    "contribution-made": Kind(
        _AGENT,
        Carrier.UPLOAD,
        {
            **_ATTEMPT,
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
        trained.contribution_made,
    ),
    "contribution-refused": Kind(
        _LEDGER,
        Carrier.OWN,
        {**_ATTEMPT, "site": NAME, "update": DIGEST, "refusal": RULE},
        trained.contribution_refused,
    ),
    "task-refused": Kind(
        _AGENT,
        Carrier.SESSION,
        {**_ATTEMPT, "task": LABEL, "refusal": RULE},
        trained.of_known_attempt,
    ),
    "evaluation-made": Kind(
        _AGENT,
        Carrier.SESSION,
        {**_ATTEMPT, "model": DIGEST, "mechanism": one_of("exact")},
        trained.evaluation_made,
        disclosed=_FIGURES,
    ),
    "candidate-rejected": Kind(
        _LEDGER,
        Carrier.OWN,
        {**_ATTEMPT, "model": DIGEST, "refusal": RULE},
        trained.of_open_attempt,
        disclosed=_FIGURES,
    ),
    "round-closed": Kind(
        _LEDGER,
        Carrier.OWN,
        {
            **_ATTEMPT,
            "model_in": DIGEST,
            "model_out": DIGEST,
            "state_in": _STATE,
            "state_out": _STATE,
            **_WHO,
        },
        trained.round_closed,
    ),
    "round-abandoned": Kind(
        _LEDGER, Carrier.OWN, {**_ATTEMPT, "reason": RULE, **_WHO}, trained.round_abandoned
    ),
    "updates-deleted": Kind(
        _LEDGER,
        Carrier.OWN,
        {**_ATTEMPT, "updates": list_of(DIGEST)},
        trained.of_ended_attempt,
    ),
}

_OPEN_ENDED: Final = frozenset({"operator-acted"})
"""Each act has fields of its own; they hold labels and whole numbers."""


def check_form(statement: Statement) -> Kind:
    """Return the kind of a statement whose body and commitments have that kind's form.

    Raises:
        Refused: the kind is unknown, or its body or commitments are not as the table says.
    """
    kind = KINDS.get(statement.kind)
    if kind is None:
        raise Refused(f"there is no kind {statement.kind}", rule="unknown-kind")
    fields = dict(kind.fields)
    if kind.optional_fields.keys() & statement.body.keys():
        fields |= kind.optional_fields
    if statement.kind in _OPEN_ENDED:
        fields = dict.fromkeys(statement.body, PLAIN) | fields
    check(statement.kind, statement.body, fields)
    labels = statement.commitments.keys()
    for label in sorted((labels - kind.disclosed) | (kind.must_disclose - labels)):
        raise Refused(f"{statement.kind} with or without {label}", rule="bad-disclosure")
    return kind
