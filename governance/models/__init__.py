"""What an agreement can name as a model; every layer has a gradient for each patient."""

from __future__ import annotations

from governance.models.catalogue import (
    NAMES,
    build,
    initial_state,
    parameter_shapes,
    validate,
)

__all__ = ["NAMES", "build", "initial_state", "parameter_shapes", "validate"]
