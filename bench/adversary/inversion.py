"""A record read off the update of the first layer, which is (a g xᵀ, a g) of weights and bias.

The quotient of the two is x, unit by unit: exact for a step of one patient, whatever the layers
above it are (Phong et al. 2017; Geiping et al. 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT: Final = 0.99


def record(update: Floats, inputs: int, hidden: int) -> Floats:
    """Return the record that an update's first layer tells, from its loudest unit."""
    weight = update[: inputs * hidden].reshape(hidden, inputs)
    bias = update[inputs * hidden : (inputs + 1) * hidden]
    loudest = int(np.abs(bias).argmax())
    if bias[loudest] == 0:
        return np.zeros(inputs)
    told: Floats = weight[loudest] / bias[loudest]
    return told


def likeness(told: Floats, so: Floats) -> float:
    """Return the cosine of what was told and what is so; 1 is the record itself."""
    lengths = np.linalg.norm(told) * np.linalg.norm(so)
    return float(told @ so / lengths) if lengths > 0 else 0.0
