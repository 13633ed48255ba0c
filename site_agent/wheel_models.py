"""A model built by an approved wheel's code, held against what the agreement says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from governance import models
from protos.errors import Refused
from site_agent import wheels

if TYPE_CHECKING:
    from governance.agreement.schema import Agreement

_PATIENTS: Final = 3


def built(agreement: Agreement) -> nn.Module:
    """Return the model that the wheel of an agreement builds.

    Raises:
        Refused: `wheel-not-confined`, `wheel-missing`; or `model-not-trainable`: its parameters
            are not the agreement's, it keeps values beside them, or it mixes patients.
        Corrupt: The wheel was altered.
    """
    digest = agreement.model.wheel
    assert digest is not None
    made = wheels.loaded(digest).build(agreement.input_width, agreement.output_width)
    if not isinstance(made, nn.Module):
        raise _untrainable("its build returns no torch module")
    found = {name: tuple(p.shape) for name, p in made.named_parameters()}
    if found != models.parameter_shapes(agreement):
        raise _untrainable("its parameters are not those that the agreement names")
    if any(True for _ in made.buffers()):
        raise _untrainable(
            "it keeps values beside its parameters, which could hold a patient's"
        )
    _check_apart(made, agreement)
    return made


def _check_apart(made: nn.Module, agreement: Agreement) -> None:
    """Check that what it says of a patient is the same whoever else is in the batch.

    It finds a mistake. Code that means harm can pass it, and is for whoever approves to find.
    """
    made.eval()
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randn(_PATIENTS, agreement.input_width, generator=draws)
    with torch.no_grad():
        together, alone = made(inputs), [made(one[None]) for one in inputs]
    made.train()
    if together.shape != (_PATIENTS, agreement.output_width):
        raise _untrainable(f"it has not {agreement.output_width} outputs for each patient")
    if not torch.allclose(together, torch.cat(alone), atol=1e-4):
        raise _untrainable("it mixes the patients of a batch")


def _untrainable(what: str) -> Refused:
    return Refused(
        f"the wheel's model cannot train here: {what}",
        todo="Its author mends the wheel, which is another one then, to be approved anew.",
        rule="model-not-trainable",
    )
