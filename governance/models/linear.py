"""One linear layer: logistic regression for a binary target, least squares for a real one.

For a category it is softmax regression, with one output for each value.

It starts at zero: the loss is convex and there is no symmetry to break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.models.layers import Linear
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement
    from governance.models.layers import Layer


def layers(agreement: Agreement) -> tuple[Layer, ...]:
    """Return the one layer.

    Raises:
        Refused: The agreement gives it hidden layers.
    """
    if agreement.model.hidden:
        raise Refused(
            "a linear model has no hidden layers",
            where="model.hidden",
            todo="Leave hidden out, or name the model mlp.",
            rule="model-not-trainable",
        )
    return (Linear("linear", agreement.input_width, agreement.output_width, zero=True),)
