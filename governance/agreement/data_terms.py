"""The data contract: what each hospital's data is checked against before it may train."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from governance.json_shapes import Written, exactly
from governance.yaml_models import Section
from governance.yaml_values import (
    AsSet,
    Finite,
    Line,
    Listed,
    OneOrMore,
    Positive,
    Share,
    Word,
    is_canonical,
    must,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(values)):
        raise must("a list of numbers in ascending order")
    return values


def _two(values: Sequence[object]) -> Sequence[object]:
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise must("a list of two numbers, the lowest and the highest")
    return tuple(values)


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise must("a list without repetition")
    return values


def _word_or_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise must("a number for a real feature, one of its values for a category")
    return value if isinstance(value, str) else float(value)


Range = Annotated[tuple[Finite, Finite], AfterValidator(_ascending), BeforeValidator(_two)]
Shares = Annotated[tuple[Share, Share], AfterValidator(_ascending), BeforeValidator(_two)]
Cuts = Annotated[
    tuple[Finite, ...], Field(min_length=1, max_length=20), AfterValidator(_ascending), Listed
]


class Reference(Section):
    """The mean and the standard deviation that values are normalised by; public, agreed on."""

    mean: Finite
    std: Positive


class Missing(Section):
    """What share may be missing, and what stands in its place."""

    at_most: Share = 0.0
    fill: Annotated[
        float | str | None,
        Written(_word_or_number, shape=exactly(type=["number", "string"])),
    ] = None


class Target(Section):
    """What is predicted: an outcome that is there or not, a quantity, or one of some values.

    The order of a category's values is the order of the model's outputs.
    """

    name: Word
    kind: Literal["binary", "real", "category"]
    unit: Line | None = None
    prevalence: Shares | None = None
    range: Range | None = None
    reference: Reference | None = None
    values: (
        Annotated[
            tuple[Line, ...],
            Field(min_length=2, max_length=100),
            AfterValidator(_distinct),
            Listed,
        ]
        | None
    ) = None

    @property
    def output_width(self) -> int:
        """How many model outputs it needs: one, or one for each value of a category."""
        return len(self.values or ()) if self.kind == "category" else 1


class Feature(Section):
    """One column of the contract; a category's order of values is the order of the inputs."""

    name: Word
    unit: Line | None = None
    kind: Literal["real", "category"]
    range: Range | None = None
    reference: Reference | None = None
    missing: Missing = Missing()
    values: Annotated[
        tuple[Line, ...], Field(max_length=200), AfterValidator(_distinct), Listed
    ] = ()
    bands: dict[Word, Cuts] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _fill_of_a_quantity(cls, value: object, info: ValidationInfo) -> object:
        """Read a real feature's fill as a number where decimals are strings."""
        if not is_canonical(info) or not isinstance(value, dict) or value.get("kind") != "real":
            return value
        missing = value.get("missing")
        if not isinstance(missing, dict) or not isinstance(missing.get("fill"), str):
            return value
        try:
            return {**value, "missing": {**missing, "fill": float(missing["fill"])}}
        except ValueError:
            return value

    @property
    def input_width(self) -> int:
        """How many model inputs it makes: one, or one for each value of a category."""
        return 1 if self.kind == "real" else len(self.values)


class Data(Section):
    """What a patient's record holds, and how many patients a hospital must have."""

    unit: Literal["patient"] = "patient"
    statistics: Literal["reference", "federated"] = "reference"
    minimum_patients: Annotated[int, whole(1, 1_000_000_000)]
    target: Target
    subgroups: Annotated[tuple[Word, ...], Field(max_length=50), AsSet, OneOrMore, Listed] = ()
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=5000), Listed]
