"""Canaries in this hospital's own training: invented patients, each in it with probability ½.

A canary's gradient is C·e_j after clipping, in a coordinate that is its own (a Dirac canary;
Nasr et al. 2023, "Tight Auditing of Differentially Private Machine Learning"): nobody can be
easier to find. What the coordinates hold after all rounds tells as much of who was in as any
update could. The loop is the one that trains for real (`training.fit`), on the model of the
agreement with a weight for each canary beside its own; each canary has several records, so that
a loop that bounds records and not patients is found out as well.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from site_agent import training
from site_agent.data.cohort import PatientSet
from site_agent.strategies import local_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from governance.agreement.schema import Agreement
    from governance.privacy.mechanisms import Keystream
    from site_agent.dpsgd import Loss
    from site_agent.training import LocalTerms

RECORDS_OF_EACH: Final = 3
_LOUD: Final = 1e6
"""A canary's gradient before it is clipped; next to it that of the model's own weights is 0."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the final weights say of each canary, and whether it was in."""

    scores: NDArray[np.float64]
    inside: NDArray[np.bool_]


class _WithCanaries(nn.Module):
    """A model with one weight more for each canary; the last input says which, 0 for none."""

    def __init__(self, model: nn.Module, canaries: int) -> None:
        super().__init__()
        self.model = model
        self.canaries = nn.Embedding(canaries + 1, 1)
        nn.init.zeros_(self.canaries.weight)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        which = inputs[:, -1].detach().long()
        heard = self.canaries(which) * (which > 0)[:, None]
        return torch.cat([self.model(inputs[:, :-1]), heard], dim=1)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A training with canaries in it.

    Args:
        agreement: Whose model and strategy.
        patients: Those who train.
        terms: Of one round's task.
        rounds: One task each.
        canaries: m, how many there are; about half of them are in.
    """

    agreement: Agreement
    patients: PatientSet
    terms: LocalTerms
    rounds: int
    canaries: int


def train(
    rehearsal: Rehearsal, randomness: Callable[[], Keystream], progress: Callable[[int], None]
) -> Watched:
    """Train with canaries among the patients, and read what their weights have become.

    Args:
        rehearsal: What is trained.
        randomness: A new stream for each task, and one for who is in.
        progress: Told the steps done, over all rounds.
    """
    agreement = rehearsal.agreement
    inside = randomness().uniform(rehearsal.canaries) < 0.5
    everyone = training.patients_of(_among(rehearsal.patients, np.flatnonzero(inside) + 1))
    terms = replace(rehearsal.terms, loss=_with_canaries(rehearsal.terms.loss))
    model = _WithCanaries(training.first_module(agreement), rehearsal.canaries)
    done = 0
    for _ in range(rehearsal.rounds):
        x = {name: p.clone() for name, p in training.parameters(model).items()}
        rate = agreement.optimizer.rate
        rule = local_rule(agreement.strategy, x=x, c=None, c_i=None, rate=rate)
        said = partial(_told, progress, done)
        with warnings.catch_warnings():  # a canary's number has no gradient, says torch
            warnings.filterwarnings("ignore", "Full backward hook")
            done += training.fit(model, everyone, terms, randomness(), rule.correction, said)
    weights = model.canaries.weight.detach()[1:, 0].double().numpy()
    return Watched(cast("NDArray[np.float64]", weights), inside)


def invented(agreement: Agreement, count: int, randomness: Keystream) -> PatientSet:
    """Return patients of pure chance in the model's own scale, one record each."""
    width, target = agreement.input_width, agreement.data.target
    features = randomness.gaussian(count * width).reshape(count, width)
    if target.kind == "real":
        outcome = randomness.gaussian(count)
    else:
        outcome = np.floor(randomness.uniform(count) * max(2, agreement.output_width))
    return PatientSet(
        features.astype(np.float32), outcome.astype(np.float32), np.arange(count), count
    )


def _told(progress: Callable[[int], None], before: int, steps: int) -> None:
    progress(before + steps)


def _with_canaries(loss: Loss) -> Loss:
    """Return the loss whose gradient in a canary's own weight is the same in every step."""

    def both(outputs: Tensor, target: Tensor) -> Tensor:
        return loss(outputs[:, :-1], target) - _LOUD * outputs[:, -1].sum()

    return both


def _among(patients: PatientSet, inside: Sequence[int] | NDArray[np.int64]) -> PatientSet:
    """Return the patients and the canaries that are in, as patients like any other."""
    own = np.hstack([patients.features, np.zeros((len(patients.features), 1), np.float32)])
    each = np.repeat(np.asarray(inside), RECORDS_OF_EACH)
    planted = np.zeros((len(each), own.shape[1]), np.float32)
    planted[:, -1] = each
    number = np.repeat(np.arange(len(inside)), RECORDS_OF_EACH) + patients.patients
    return PatientSet(
        np.concatenate([own, planted]),
        np.concatenate([patients.target, np.zeros(len(each), np.float32)]),
        np.concatenate([patients.patient, number]),
        patients.patients + len(inside),
    )
