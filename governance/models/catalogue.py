"""The models by name; all but `build` works without torch.

Models have one output: the logit of a binary target, or a real target in units of its
reference; for a category one logit for each of its values. First weights follow from the
agreement alone, so that anybody can make them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from governance.models import layers as kinds
from governance.models import linear, mlp
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from governance.agreement.schema import Agreement

_LAYERS: Final[Mapping[str, Callable[[Agreement], tuple[kinds.Layer, ...]]]] = {
    "linear": linear.layers,
    "mlp": mlp.layers,
}
NAMES: Final = tuple(f"builtin:{name}" for name in _LAYERS)
"""What a site's file can permit."""


def validate(agreement: Agreement) -> None:
    """Check that the agreement's model exists and can be trained with a gradient per patient.

    Raises:
        Refused: `model-not-trainable`, with where in the agreement and what to write instead.
    """
    if agreement.model.wheel is None:  # what is in a wheel each hospital sees for itself
        _checked(agreement)


def parameter_shapes(agreement: Agreement) -> dict[str, tuple[int, ...]]:
    """Return every parameter's shape by name; raises as `validate`."""
    if agreement.model.wheel is not None:
        return {one.name: one.shape for one in agreement.model.parameters or ()}
    return {
        name: shape
        for layer in _checked(agreement)
        for name, shape in kinds.shapes(layer).items()
    }


def initial_state(agreement: Agreement) -> dict[str, NDArray[np.float32]]:
    """Return the first weights by name, from the agreement's seed; raises as `validate`."""
    draws = np.random.Generator(np.random.PCG64(agreement.model.seed))
    if agreement.model.wheel is not None:
        return {
            name: kinds.first_of_shape(name, shape, draws)
            for name, shape in parameter_shapes(agreement).items()
        }
    return {
        name: values
        for layer in _checked(agreement)
        for name, values in kinds.first_weights(layer, draws).items()
    }


def build(agreement: Agreement) -> nn.Module:
    """Return the model as a torch module with its first weights; raises as `validate`."""
    from collections import OrderedDict

    import torch
    from torch import nn

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in _checked(agreement):
        match layer:
            case kinds.Linear():
                modules[layer.name] = nn.Linear(layer.inputs, layer.outputs)
            case kinds.GroupNorm():
                modules[layer.name] = nn.GroupNorm(kinds.GROUPS, layer.channels)
            case _:
                modules[layer.name] = nn.Tanh()
    model = nn.Sequential(modules)
    first = initial_state(agreement)
    model.load_state_dict({name: torch.from_numpy(w) for name, w in first.items()})
    return model


def _checked(agreement: Agreement) -> tuple[kinds.Layer, ...]:
    if agreement.model.wheel is not None:
        raise Refused(
            f"the model {agreement.model.name} is a wheel's, whose code runs in a hospital's "
            "confined worker alone",
            where="model.wheel",
            rule="wheel-not-confined",
        )
    layers_of = _LAYERS.get(agreement.model.name)
    if layers_of is None:
        raise Refused(
            f"no model is called {agreement.model.name!r}; known are {', '.join(_LAYERS)}",
            where="model.name",
            rule="model-not-trainable",
        )
    found = layers_of(agreement)
    kinds.check(found)
    return found
