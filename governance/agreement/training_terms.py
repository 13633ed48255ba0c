"""What is trained, how, and what leaves: the terms of an agreement about rounds and privacy."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo

from governance.agreement.party_terms import Count, Metric
from governance.json_shapes import Written, exactly, offered
from governance.yaml_models import Section
from governance.yaml_values import (
    DURATION_SHAPE,
    LARGEST_WHOLE,
    Flag,
    Listed,
    LongerThanZero,
    NotNegative,
    OpenShare,
    PositiveShare,
    is_canonical,
    must,
    number,
    read_duration,
    text,
    whole,
)

BUILT_STRATEGIES: Final = ("fedavg", "fedprox", "scaffold")
StrategyName = Annotated[
    Literal[
        "fedavg", "fedprox", "scaffold", "fedavgm", "fedadagrad", "fedadam", "fedyogi",
        "fednova", "fedcurv", "fedbn", "ditto", "trimmed-mean", "median", "krum", "norm-bound",
    ],
    offered(*BUILT_STRATEGIES),
]  # fmt: skip


def _stragglers(value: object, info: ValidationInfo) -> int:
    """Read `wait` as 0 and `{close_early_after: 20m}` as seconds."""
    if is_canonical(info) and isinstance(value, int):
        return read_duration(value, info)
    if value == "wait":
        return 0
    if isinstance(value, dict) and set(value) == {"close_early_after"}:
        seconds = read_duration(value["close_early_after"], info)
        if seconds > 0:
            return seconds
    raise must("wait, or {close_early_after: 20m}")


_WAIT_OR_CLOSE: Final = exactly(
    default="wait",
    anyOf=[
        {"const": "wait"},
        {
            "type": "object",
            "properties": {"close_early_after": DURATION_SHAPE({})},
            "required": ["close_early_after"],
            "additionalProperties": False,
        },
    ],
)


class Local(Section):
    """A hospital's work in a round: Poisson-sampled steps, or without privacy batches."""

    steps: Annotated[int | None, whole(1, 1_000_000)] = None
    sampling_rate: PositiveShare | None = None
    epochs: Annotated[int | None, whole(1, 10_000)] = None
    batch: Annotated[int | None, whole(1, 1_000_000)] = None


class Round(Section):
    """How long a round may take and what happens to those who are late; durations in seconds.

    `stragglers` is how long after enough updates are in the round closes; 0 waits for all.
    """

    deadline: LongerThanZero
    stragglers: Annotated[int, Written(_stragglers, shape=_WAIT_OR_CLOSE)] = 0
    attempts: Annotated[int, whole(1, 100)] = 3
    late: Literal["discard", "next-round"] = "discard"
    local: Local


class Parameter(Section):
    """A parameter of a model from a wheel: its name and shape, so that nobody need run it."""

    name: Annotated[
        str,
        text(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,126}", "a parameter's name, such as hidden.weight"),
    ]
    shape: Annotated[
        tuple[Annotated[int, whole(1, 1_000_000)], ...],
        Field(min_length=1, max_length=6),
        Listed,
    ]


class Model(Section):
    """A model that is installed at every hospital, by name; from a wheel by its digest."""

    name: Annotated[
        str, text(r"[a-z][a-z0-9-]{0,62}", "the name of a model, such as linear or mlp")
    ]
    hidden: Annotated[
        tuple[Annotated[int, whole(1, 65_536)], ...], Field(max_length=32), Listed
    ] = ()
    norm: Annotated[Literal["none", "group", "batch"], offered("none", "group")] = "none"
    seed: Annotated[int, whole(0, LARGEST_WHOLE)] = 1
    wheel: (
        Annotated[str, text(r"[0-9a-f]{64}", "the digest that concilium-site approve prints")]
        | None
    ) = None
    parameters: (
        Annotated[tuple[Parameter, ...], Field(min_length=1, max_length=1000), Listed] | None
    ) = None


class Strategy(Section):
    """How updates become the next global model; `mu` is FedProx's μ, `server_rate` η_s."""

    name: StrategyName
    mu: NotNegative | None = None
    server_rate: Annotated[float, number(above=0, at_most=100)] = 1.0


class Optimizer(Section):
    """The local rule's optimizer and its rate η."""

    name: Annotated[Literal["sgd", "adam"], offered("sgd")]
    rate: Annotated[float, number(above=0, at_most=100)]
    momentum: Annotated[float, number(at_least=0, below=1)] = 0.0


class TargetEpsilon(Section):
    """The ε from which the noise is computed."""

    epsilon: Annotated[float, number(above=0, at_most=1000)]


class Budget(Section):
    """The ε that a hospital may spend on the whole agreement."""

    epsilon: Annotated[float, number(above=0, at_most=1000)]


class Noised(Section):
    """Figures of quality with noise: their ε in all, and every how many rounds."""

    epsilon_total: Annotated[float, number(above=0, at_most=1000)]
    every: Count


class Exact(Section):
    """Figures of quality as they are: every how many rounds."""

    every: Count = 1


class Metrics(Section):
    """How figures of quality leave; each class with fewer than `minimum` is withheld."""

    noised: Noised | None = None
    exact: Exact | None = None
    minimum: Annotated[int, whole(1, 1_000_000)] = 10


class Statistics(Section):
    """The ε of the statistics that quantities are normalised by, once for an agreement."""

    epsilon: Annotated[float, number(above=0, at_most=1000)]


class Privacy(Section):
    """Differential privacy of a patient: C, σ or a target for ε, δ, and what may be spent."""

    clip: Annotated[float, number(above=0, at_most=1_000_000)]
    noise_multiplier: Annotated[float | None, number(at_least=0, at_most=1000)] = None
    target: TargetEpsilon | None = None
    delta: OpenShare
    budget: Budget
    metrics: Metrics
    statistics: Statistics | None = None
    local_baseline: Flag = False
    noise_seed: Annotated[int | None, whole(0, LARGEST_WHOLE)] = None


class Compression(Section):
    """How an update is made smaller; `keep` is random-k's share of coordinates."""

    name: Literal["none", "int8", "random-k"] = "none"
    keep: PositiveShare | None = None


class Aggregation(Section):
    """Who can see a single update, and how much each hospital weighs."""

    secure: Flag = True
    weighting: Literal["declared", "equal"] = "declared"
    bound: Literal["auto"] = "auto"
    compression: Compression = Compression()


class AcceptIf(Section):
    """The gate: a candidate's figure may be worse than the current model's by so much."""

    metric: Metric
    not_worse_than: Annotated[float, number(above=0, at_most=1_000_000)]


class Quality(Section):
    """What a candidate must pass, and who sees a hospital's own figures."""

    accept_if: AcceptIf | None = None
    visible_to: Literal["own-site", "all"] = "own-site"
