"""A multi-layer perceptron: linear, group norm where wanted, tanh; then the outputs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from governance.models.layers import GroupNorm, Linear, Tanh
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement
    from governance.models.layers import Layer

_DEEPEST: Final = 8
_WIDEST: Final = 8192


def layers(agreement: Agreement) -> tuple[Layer, ...]:
    """Return the layers from input to output.

    Raises:
        Refused: There is no hidden layer, there are too many, one is too wide, or the norm is
            none that we know.
    """
    hidden = tuple(agreement.model.hidden or ())
    if not 1 <= len(hidden) <= _DEEPEST or not all(1 <= n <= _WIDEST for n in hidden):
        raise Refused(
            f"the hidden layers are {list(hidden)}, but must be 1 to {_DEEPEST} widths between "
            f"1 and {_WIDEST}",
            where="model.hidden",
            rule="model-not-trainable",
        )
    stack: list[Layer] = []
    for depth, (inputs, outputs) in enumerate(pairwise((agreement.input_width, *hidden)), 1):
        stack.append(Linear(f"hidden{depth}", inputs, outputs))
        stack.extend(_norm(agreement.model.norm, depth, outputs))
        stack.append(Tanh(f"tanh{depth}"))
    return (*stack, Linear("output", hidden[-1], agreement.output_width))


def _norm(norm: str | None, depth: int, channels: int) -> tuple[Layer, ...]:
    match norm:
        case None | "none":
            return ()
        case "group":
            return (GroupNorm(f"norm{depth}", channels),)
        case "batch":
            raise Refused(
                "a batch norm mixes the patients of a batch, so that no clip would bound what "
                "one patient contributes",
                where="model.norm",
                todo="Use norm: group, which normalises each patient alone.",
                rule="model-not-trainable",
            )
        case _:
            raise Refused(
                f"the norm is {norm!r}, but must be group or none",
                where="model.norm",
                rule="model-not-trainable",
            )
