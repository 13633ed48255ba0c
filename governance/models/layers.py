"""The layers that models are made of, as plain values: shapes and first weights without torch.

Every permitted layer treats each patient apart, so that Opacus has its gradient for each one.
A batch norm does not: it mixes the patients of a batch, and no clip bounds one patient there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GROUPS: Final = 4


@dataclass(frozen=True, slots=True)
class Linear:
    """y = W x + b with W of shape (outputs, inputs); `zero` starts it at zero."""

    name: str
    inputs: int
    outputs: int
    zero: bool = False


@dataclass(frozen=True, slots=True)
class GroupNorm:
    """Normalise each patient's channels in `GROUPS` groups (Wu and He 2018)."""

    name: str
    channels: int


@dataclass(frozen=True, slots=True)
class Tanh:
    """A bounded activation, which learns better under clipping (Papernot et al. 2021)."""

    name: str


Layer = Linear | GroupNorm | Tanh

PER_SAMPLE_GRADIENT: Final = frozenset({Linear, GroupNorm, Tanh})
"""The layers of which Opacus has a gradient for each patient; no other trains."""


def shapes(layer: Layer) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters by full name, in torch's layout."""
    match layer:
        case Linear(name, inputs, outputs):
            return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
        case GroupNorm(name, channels):
            return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
        case _:
            return {}


def first_of_shape(
    name: str, shape: tuple[int, ...], draws: np.random.Generator
) -> NDArray[np.float32]:
    """Return the first values of a parameter of which only name and shape are known.

    With several dimensions uniform in ±1/√inputs; of one dimension 1 where it is a weight, as
    of a norm, else 0.
    """
    if len(shape) == 1:
        return np.full(shape, float(name.endswith("weight")), np.float32)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return ((2 * draws.random(shape) - 1) * bound).astype(np.float32)


def first_weights(layer: Layer, draws: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return a layer's first weights: uniform in ±1/√inputs (LeCun et al. 1998), norms at 1."""
    found = shapes(layer)
    match layer:
        case Linear(inputs=inputs, zero=zero):
            bound = 0.0 if zero else 1 / math.sqrt(inputs)
            return {
                name: ((2 * draws.random(shape) - 1) * bound).astype(np.float32)
                for name, shape in found.items()
            }
        case _:
            return {
                name: np.full(shape, float(name.endswith(".weight")), np.float32)
                for name, shape in found.items()
            }


def check(layers: Sequence[Layer]) -> None:
    """Check that each patient's gradient exists in every layer.

    Raises:
        Refused: `model-not-trainable`, naming the layer.
    """
    for layer in layers:
        if type(layer) not in PER_SAMPLE_GRADIENT:
            raise Refused(
                f"a layer of kind {type(layer).__name__} has no gradient for each patient, so "
                "that no clip would bound what one patient contributes",
                where="model",
                rule="model-not-trainable",
            )
        if isinstance(layer, GroupNorm) and (
            layer.channels % GROUPS or layer.channels < 2 * GROUPS
        ):
            raise Refused(
                f"a hidden layer of width {layer.channels} cannot be normalised in {GROUPS} "
                "groups",
                where="model.hidden",
                todo=f"With norm: group each width must be a multiple of {GROUPS}, from "
                f"{2 * GROUPS} on.",
                rule="model-not-trainable",
            )
