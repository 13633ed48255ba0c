"""The agreement: one frozen, strict type whose fields are the keys of agreement.yaml.

The file's `obligations` names a text; here the field is that text's SHA-256, so that its digest
is part of the agreement. Times are instants in UTC, durations seconds, decimals floats.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from governance.agreement.data_terms import Data, Feature, Missing, Range, Reference, Target
from governance.agreement.party_terms import (
    Coordinator,
    Disclosures,
    Exits,
    Metric,
    Operators,
    Release,
    Requires,
    Schedule,
    Sites,
    Stop,
    Valid,
    Window,
)
from governance.agreement.training_terms import (
    AcceptIf,
    Aggregation,
    Compression,
    Local,
    Metrics,
    Model,
    Optimizer,
    Privacy,
    Quality,
    Round,
    Strategy,
)
from governance.json_shapes import Json, Written
from governance.yaml_models import Section
from governance.yaml_values import (
    AsSet,
    Digest64,
    Duration,
    Line,
    Listed,
    Name,
    OneOrMore,
    Purpose,
    must,
)
from protos.errors import Refused

__all__ = [
    "UNSAFE_MINIMUM", "UNSAFE_TERMS", "AcceptIf", "Aggregation", "Agreement", "Compression",
    "Data", "Feature", "Local", "Metric", "Metrics", "Missing", "Model", "Optimizer", "Privacy",
    "Quality", "Range", "Reference", "Requires", "Round", "Schedule", "Sites", "Stop",
    "Strategy", "Target", "Window", "unsafe_terms",
]  # fmt: skip

SCHEMA_VERSION: Final = 1
UNSAFE_TERMS: Final = ("no-noise", "no-privacy", "fixed-noise-seed", "exact-small-classes")
"""The terms of an agreement that weaken a guarantee; a site accepts one by naming it."""
UNSAFE_MINIMUM: Final = 10
"""Exact figures of a class with fewer patients than this may tell of a single one."""


def _off(value: object) -> object:
    """Read `privacy: off`; nothing at all is a mistake and not a choice."""
    if value is None:
        raise must("a mapping of its terms, or off")
    return None if value == "off" else value


def _privacy_or_off(inner: Json) -> Json:
    terms = [one for one in inner["anyOf"] if one.get("type") != "null"]
    return {"anyOf": [*terms, {"const": "off"}]}


_TEXT_FILE: Final = {"type": "string", "minLength": 1, "description": "the name of a text file"}
"""In the operator's file; the text's digest takes its place."""


def _version(value: object) -> object:
    if value != SCHEMA_VERSION or isinstance(value, bool):
        raise must(f"{SCHEMA_VERSION}, the version of the schema that this program knows")
    return value


class Agreement(Section):
    """All that hospitals consent to."""

    agreement: Annotated[Literal[1], BeforeValidator(_version)]
    federation: Name
    title: Line
    purpose: Annotated[
        tuple[Purpose, ...], Field(min_length=1, max_length=20), AsSet, OneOrMore, Listed
    ]
    owner: Line
    licence: Line
    coordinator: Coordinator
    obligations: Annotated[Digest64, WithJsonSchema(_TEXT_FILE)] = ""
    valid: Valid
    notice: Duration = 14 * 86400
    sites: Sites
    operators: Operators
    schedule: Schedule
    round: Round
    data: Data
    model: Model
    strategy: Strategy
    optimizer: Optimizer
    privacy: Annotated[Privacy | None, Written(_off, shape=_privacy_or_off)]
    aggregation: Aggregation = Aggregation()
    quality: Quality = Quality()
    release: Release = Release()
    disclosures: Disclosures = Disclosures()
    exits: Exits = Exits()

    @property
    def figures_minimum(self) -> int:
        """Patients, of each class where there are classes, under which no figures are said."""
        return UNSAFE_MINIMUM if self.privacy is None else self.privacy.metrics.minimum

    @property
    def input_width(self) -> int:
        """How many inputs the model has: one for a quantity, one a value for a category."""
        return sum(feature.input_width for feature in self.data.features)

    @property
    def output_width(self) -> int:
        """How many outputs the model has: one, or one a value of a category that it tells."""
        return self.data.target.output_width

    @property
    def sigma(self) -> float:
        """The noise multiplier σ: as written, or computed from the target for all rounds.

        0 without privacy. Computing it takes a second the first time.

        Raises:
            Refused: no noise reaches the target.
        """
        if self.privacy is None:
            return 0.0
        if self.privacy.noise_multiplier is not None:
            return self.privacy.noise_multiplier
        from governance.privacy.accountant import noise_for

        assert self.privacy.target is not None
        assert self.round.local.sampling_rate is not None
        assert self.round.local.steps is not None
        return noise_for(
            self.privacy.target.epsilon,
            sampling_rate=self.round.local.sampling_rate,
            steps=self.round.local.steps * self.schedule.rounds,
            delta=self.privacy.delta,
        )

    @property
    def metrics_noised(self) -> bool:
        """Whether figures of quality leave with noise."""
        return self.privacy is not None and self.privacy.metrics.noised is not None

    @property
    def figures_masked(self) -> bool:
        """Whether nothing but the sum of all hospitals' noised figures is ever opened."""
        return self.aggregation.secure and self.metrics_noised

    def figures_due(self, round_: int) -> bool:
        """Tell whether hospitals say figures of a round's candidate."""
        if self.privacy is None:
            return True
        metrics = self.privacy.metrics
        chosen = metrics.exact or metrics.noised
        return chosen is not None and round_ % chosen.every == 0

    @property
    def evaluations(self) -> int:
        """How many evaluations the metrics' ε is split over; 0 where figures are exact."""
        if self.privacy is None or self.privacy.metrics.noised is None:
            return 0
        return -(-self.schedule.rounds // self.privacy.metrics.noised.every)

    @property
    def metrics_sigma(self) -> float:
        """The noise multiplier σ_m of each evaluation, for ε of them all; 0 for exact figures.

        The same everywhere, since it follows from the agreement alone.

        Raises:
            Refused: no noise reaches it.
        """
        if self.privacy is None or self.privacy.metrics.noised is None:
            return 0.0
        from governance.privacy.accountant import noise_for

        try:
            return noise_for(
                self.privacy.metrics.noised.epsilon_total,
                sampling_rate=1.0,
                steps=self.evaluations,
                delta=self.privacy.delta,
            )
        except Refused as problem:
            raise Refused(
                problem.what,
                where="privacy.metrics.noised.epsilon_total",
                todo=problem.todo,
                rule=problem.rule,
            ) from None

    @property
    def statistics_federated(self) -> bool:
        """Whether quantities are normalised by statistics of the hospitals' patients."""
        return self.data.statistics == "federated"

    @property
    def statistics_sigma(self) -> float:
        """The noise multiplier of federated statistics, for their ε; 0 where there are none.

        Raises:
            Refused: no noise reaches it.
        """
        if self.privacy is None or self.privacy.statistics is None:
            return 0.0
        from governance.privacy.accountant import noise_for

        try:
            return noise_for(
                self.privacy.statistics.epsilon,
                sampling_rate=1.0,
                steps=1,
                delta=self.privacy.delta,
            )
        except Refused as problem:
            raise Refused(
                problem.what,
                where="privacy.statistics.epsilon",
                todo=problem.todo,
                rule=problem.rule,
            ) from None

    @property
    def is_draft(self) -> bool:
        """Whether a hospital or an operator in it has no key yet."""
        return not (all(self.sites.roster.values()) and all(self.operators.keys.values()))


def unsafe_terms(agreement: Agreement) -> frozenset[str]:
    """Return the terms that weaken a guarantee, of `UNSAFE_TERMS`."""
    privacy = agreement.privacy
    if privacy is None:
        return frozenset({"no-privacy"})
    found = {
        "no-noise": privacy.noise_multiplier == 0,
        "fixed-noise-seed": privacy.noise_seed is not None,
        "exact-small-classes": privacy.metrics.exact is not None
        and privacy.metrics.minimum < UNSAFE_MINIMUM,
    }
    return frozenset(term for term, holds in found.items() if holds)
