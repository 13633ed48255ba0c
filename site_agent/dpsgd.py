"""DP-SGD with the patient as the unit (Abadi et al. 2016): y ← y − η (g̃ + correction).

    g̃ = (Σ_p clip(g_p, C) + N(0, σ²C²)) / L

A step draws each patient with the public probability q and takes one record of each at random,
so that the clip bounds a patient, however many records. L = q × declared patients is a public
constant; neither the true number of patients nor that of the batch divides anything. An empty
batch is a step like any other: noise alone. The correction of a strategy depends on released
values only and is added after the noise, between Opacus's `pre_step` and the inner step; in the
loss, or before `step`, Opacus drops it without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator
from typing_extensions import override

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from governance.privacy.mechanisms import Keystream

    Loss = Callable[[Tensor, Tensor], Tensor]
    Correction = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor] | None]

RECORDS_AT_ONCE: Final = 2048
"""How many gradients are held in memory; a larger batch is summed in parts."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The public constants of a step: q, C, σ and L."""

    sampling_rate: float
    clip: float
    noise_multiplier: float
    divisor: float


@dataclass(frozen=True, slots=True)
class Patients:
    """Records in the order of their patients, so that one of each can be drawn.

    Args:
        features: float32, records × inputs.
        target: float32, records.
        first: The place of each patient's first record, and at last the number of records.
    """

    features: Tensor
    target: Tensor
    first: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32],
        target: NDArray[np.float32],
        patient: NDArray[np.int64],
        device: str = "cpu",
    ) -> Patients:
        """Sort records by patient; `patient` names one for each record, by any number.

        The tensors lie on `device`; who is drawn is decided on the processor.
        """
        order = np.argsort(patient, kind="stable")
        _, counts = np.unique(patient, return_counts=True)
        return cls(
            torch.from_numpy(np.ascontiguousarray(features[order], np.float32)).to(device),
            torch.from_numpy(np.ascontiguousarray(target[order], np.float32)).to(device),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.first) - 1

    def one_record_of(
        self, patients: NDArray[np.int64], randomness: Keystream
    ) -> NDArray[np.int64]:
        """Return one record of each of these patients, any with the same probability."""
        first, after = self.first[patients], self.first[patients + 1]
        places = randomness.uniform(len(patients)) * (after - first)
        return first + places.astype(np.int64)

    def drawn(self, rate: float, randomness: Keystream) -> NDArray[np.int64]:
        """Return one record of each patient that a Poisson draw of this rate takes."""
        (taken,) = np.nonzero(randomness.uniform(len(self)) < rate)
        return self.one_record_of(taken, randomness)


class PatientOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus has no types
    """Opacus's optimizer with our noise, in float64, and with L as its only divisor."""

    def __init__(
        self, inner: torch.optim.Optimizer, mechanism: Mechanism, randomness: Keystream
    ) -> None:
        super().__init__(
            inner,
            noise_multiplier=mechanism.noise_multiplier,
            max_grad_norm=mechanism.clip,
            expected_batch_size=None,
            loss_reduction="sum",  # Opacus divides by nothing
        )
        self._divisor = mechanism.divisor
        self._randomness = randomness

    @override
    def clip_and_accumulate(self) -> None:
        """Clip each patient's gradient; one that is not finite counts as zero.

        Else a model made for it could tell by a refused update that a certain patient is here.
        """
        for p in self.params:
            torch.nan_to_num_(p.grad_sample)
        super().clip_and_accumulate()

    @override
    def add_noise(self) -> None:
        """Set each gradient to (sum + σC·N(0, 1)) / L, rounded to float32 once at the end.

        The noise is drawn on the processor, wherever it is added.
        """
        deviation = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            total = p.summed_grad.double()
            if deviation > 0:
                noise = torch.from_numpy(self._randomness.gaussian(p.numel()))
                total += deviation * noise.view(p.shape).to(total.device)
            p.grad = (total / self._divisor).to(p.dtype).view_as(p)


class PrivateSteps:
    """Steps of DP-SGD on one model; each one is counted, whatever its batch."""

    def __init__(
        self,
        model: nn.Module,
        inner: torch.optim.Optimizer,
        loss: Loss,
        mechanism: Mechanism,
        randomness: Keystream,
    ) -> None:
        """Prepare steps of a model whose parameters `inner` holds; `loss` sums over records.

        Raises:
            Refused: A layer has no gradient for each patient.
        """
        if not (ModuleValidator.is_valid(model) and _each_layer_is_known(model)):
            raise Refused(
                "the model has a layer without a gradient for each patient",
                rule="model-not-trainable",
            )
        self._per_patient = GradSampleModule(model, loss_reduction="sum", strict=True)
        self._model, self._loss = model, loss
        self._mechanism, self._randomness = mechanism, randomness
        self._optimizer = PatientOptimizer(inner, mechanism, randomness)

    def step(self, patients: Patients, correction: Correction) -> None:
        """Draw a batch, release its noisy gradient, correct it and step."""
        optimizer = self._optimizer
        records = patients.drawn(self._mechanism.sampling_rate, self._randomness)
        for part, last in _parts(records):
            optimizer.zero_grad(set_to_none=True)  # keeps the sum of the parts so far
            self._gradients_of(patients, part)
            optimizer.signal_skip_step(do_skip=not last)
            if optimizer.pre_step():
                correct(self._model, correction)
                optimizer.original_optimizer.step()

    def close(self) -> None:
        """Take Opacus's hooks off the model."""
        self._per_patient.to_standard_module()

    def _gradients_of(self, patients: Patients, records: NDArray[np.int64]) -> None:
        """Set `grad_sample` of each parameter: one gradient for each record."""
        if not len(records):
            for p in self._model.parameters():
                p.grad_sample = p.new_zeros((0, *p.shape))  # type: ignore[attr-defined]
            return
        chosen = torch.from_numpy(records).to(patients.features.device)
        inputs = patients.features[
            chosen
        ].requires_grad_()  # else torch warns of Opacus's hooks
        loss = self._loss(self._per_patient(inputs), patients.target[chosen])
        torch.autograd.backward(loss)


def _each_layer_is_known(model: nn.Module) -> bool:
    """Tell whether Opacus has the gradient for each patient of every layer with parameters."""
    return all(
        type(layer) in GradSampleModule.GRAD_SAMPLERS
        for layer in model.modules()
        if any(True for _ in layer.parameters(recurse=False))
    )


def correct(model: nn.Module, correction: Correction) -> None:
    """Add a strategy's correction at y to each parameter's gradient."""
    named = dict(model.named_parameters())
    added = correction({name: p.detach() for name, p in named.items()})
    for name, p in named.items() if added is not None else ():
        assert p.grad is not None
        p.grad += added[name]  # type: ignore[index]


def _parts(records: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """Yield a batch in parts that fit in memory, and whether it is the last; one when empty."""
    for start in range(0, max(len(records), 1), RECORDS_AT_ONCE):
        end = start + RECORDS_AT_ONCE
        yield records[start:end], end >= len(records)
