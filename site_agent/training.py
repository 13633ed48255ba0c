"""One update of one site: K local steps from the global model x, then Δy = y − x.

With privacy each step is `dpsgd`'s; without it plain minibatch SGD. The strategy's correction
is added to either after the gradient. What leaves is the update and no figure of the training.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from governance import models, tensors
from governance.agreement.load import parse
from governance.privacy.mechanisms import KEY_BYTES, Keystream
from governance.privacy.releases import expected_batch
from protos.errors import PeerFault, Refused
from site_agent import wheel_models
from site_agent.dpsgd import Mechanism, Patients, PrivateSteps, correct
from site_agent.jobs import Trained
from site_agent.ready import ready
from site_agent.strategies import local_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import PatientSet
    from site_agent.dpsgd import Correction, Loss
    from site_agent.jobs import TrainJob

    Tensors = dict[str, Tensor]
    Progress = Callable[[int], None]

_FIXED: Final = b"concilium: unsafe fixed noise\0"


@dataclass(frozen=True, slots=True)
class LocalTerms:
    """What the agreement says of a site's work in one task.

    `mechanism` is None without privacy; then there are `batch` and either `steps` or `epochs`.
    """

    loss: Loss
    optimizer: str
    rate: float
    momentum: float
    mechanism: Mechanism | None
    steps: int | None
    epochs: int | None
    batch: int | None

    def lasting(self, times: int) -> LocalTerms:
        """Return the terms of so many tasks in one."""
        return replace(
            self,
            steps=None if self.steps is None else self.steps * times,
            epochs=None if self.epochs is None else self.epochs * times,
        )


def train(job: TrainJob, progress: Progress) -> Trained:
    """Train one update and write it, and the new control variate where there is one.

    Args:
        job: Whose agreement, cohort, model and folder.
        progress: Told the steps done, before the first and after each one; where it waits, the
            training waits.

    Raises:
        Refused: The cohort breaks the contract, the model can't be trained, or the result is
            not finite.
        PeerFault: The model or the state is not what the agreement describes.
        Unavailable: The disk is full.
    """
    use_threads(job.threads)
    device = device_of(job.device)
    document = parse(job.document.read_bytes())
    agreement = document.agreement
    cohort = ready(job.cohort, document, by=job.normalised(agreement))
    x = _on(device, read_model(job.model, agreement))
    c, c_i = (
        None if path is None else _on(device, read_model(path, agreement, prefix="c"))
        for path in (job.state, job.control)
    )
    rate = agreement.optimizer.rate
    rule = local_rule(agreement.strategy, x=x, c=c, c_i=c_i, rate=rate)
    model = module(agreement, x).to(device)
    steps = fit(
        model,
        patients_of(cohort.train, device),
        terms_of(agreement, job.declared_patients),
        keystream(job.noise_seed),
        rule.correction,
        progress,
    )
    y = parameters(model)
    control = rule.finish(y, steps=steps)
    update = {f"y/{name}": y[name] - x[name] for name in y}
    if control is not None:
        update |= {
            f"c/{name}": control[name] - (c_i[name] if c_i is not None else 0) for name in y
        }
    return _written(update, control, steps=steps, out=job.out)


def terms_of(agreement: Agreement, declared_patients: int) -> LocalTerms:
    """Return a task's terms; L = q × declared patients, both public."""
    local, privacy = agreement.round.local, agreement.privacy
    mechanism = None
    if privacy is not None and local.sampling_rate is not None:
        mechanism = Mechanism(
            sampling_rate=local.sampling_rate,
            clip=privacy.clip,
            noise_multiplier=agreement.sigma,
            divisor=float(expected_batch(local.sampling_rate, declared_patients)),
        )
    return LocalTerms(
        loss=LOSS[agreement.data.target.kind],
        optimizer=agreement.optimizer.name,
        rate=agreement.optimizer.rate,
        momentum=agreement.optimizer.momentum,
        mechanism=mechanism,
        steps=local.steps,
        epochs=local.epochs,
        batch=local.batch,
    )


class PlainSteps:
    """Minibatch SGD without privacy: each epoch shuffles the patients, one record of each."""

    def __init__(
        self,
        model: nn.Module,
        inner: torch.optim.Optimizer,
        terms: LocalTerms,
        draws: Keystream,
    ) -> None:
        """Prepare steps of a model whose parameters `inner` holds."""
        self._model, self._inner, self._terms, self._draws = model, inner, terms, draws
        self._waiting = np.empty(0, np.int64)

    def step(self, patients: Patients, correction: Correction) -> None:
        """Step by the mean gradient of the next batch and the correction."""
        if not len(self._waiting):
            self._waiting = np.argsort(self._draws.uniform(len(patients)), kind="stable")
        batch, self._waiting = np.split(self._waiting, [self._terms.batch or len(patients)])
        records = torch.from_numpy(patients.one_record_of(batch, self._draws))
        records = records.to(patients.features.device)
        self._inner.zero_grad(set_to_none=True)
        loss = self._terms.loss(
            self._model(patients.features[records]), patients.target[records]
        )
        torch.autograd.backward(loss / len(batch))
        correct(self._model, correction)
        self._inner.step()

    def close(self) -> None:
        """Leave the model as it is."""


def fit(
    model: nn.Module,
    patients: Patients,
    terms: LocalTerms,
    randomness: Keystream,
    correction: Correction,
    progress: Progress,
) -> int:
    """Take a task's steps on the model and return how many were taken."""
    inner = _optimizer(model, terms)
    steps: PrivateSteps | PlainSteps
    if terms.mechanism is not None:
        steps = PrivateSteps(model, inner, terms.loss, terms.mechanism, randomness)
    else:
        steps = PlainSteps(model, inner, terms, randomness)
    count = _count(terms, len(patients))
    progress(0)  # may have to wait before the first batch
    for done in range(1, count + 1):
        steps.step(patients, correction)
        progress(done)
    steps.close()
    return count


def use_threads(threads: int) -> None:
    """Take at most so many; by more than there are free cores small steps become far slower."""
    torch.set_num_threads(threads)


def device_of(name: str) -> str:
    """Return the device of a job, or raise Refused where torch does not see it."""
    if name == "cuda" and not torch.cuda.is_available():
        raise Refused(
            "torch sees no cuda device, and site.yaml trains on one",
            todo="Mend the driver or install torch for it; or say `resources: {device: cpu}`.",
            rule="no-device",
        )
    return name


def _on(device: str, tensors_: Tensors) -> Tensors:
    return {name: tensor.to(device) for name, tensor in tensors_.items()}


def keystream(noise_seed: int | None) -> Keystream:
    """Return a task's randomness: of the operating system's entropy, kept nowhere.

    A seed, which only an agreement's unsafe term gives, makes it the same each time.
    """
    if noise_seed is None:
        return Keystream(os.urandom(KEY_BYTES))
    return Keystream(hashlib.sha256(_FIXED + str(noise_seed).encode()).digest())


def patients_of(part: PatientSet, device: str = "cpu") -> Patients:
    """Return a cohort's part as tensors on a device."""
    return Patients.of(part.features, part.target, part.patient, device)


def module(agreement: Agreement, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the agreement's model with these parameters."""
    wheel = agreement.model.wheel
    made = models.build(agreement) if wheel is None else wheel_models.built(agreement)
    made.load_state_dict(dict(state))
    return made


def first_module(agreement: Agreement) -> nn.Module:
    """Return the agreement's model with its first weights."""
    first = models.initial_state(agreement)
    return module(agreement, {name: torch.from_numpy(w) for name, w in first.items()})


def parameters(model: nn.Module) -> Tensors:
    """Return a model's parameters by name, detached."""
    return {name: p.detach() for name, p in model.named_parameters()}


def read_model(path: Path, agreement: Agreement, *, prefix: str = "") -> Tensors:
    """Read tensors of the agreement's model from a file.

    Raises:
        PeerFault: Names or shapes are not the model's, or a number is not finite.
    """
    views = tensors.load(path)
    found = tensors.under_prefix(prefix, views) if prefix else views
    expected = models.parameter_shapes(agreement)
    if {name: view.shape for name, view in found.items()} != expected:
        raise PeerFault(
            "the tensors in this file are not those of the agreement's model",
            where=str(path),
            rule="model-shape",
        )
    if not all(np.isfinite(view).all() for view in found.values()):
        raise PeerFault("a parameter is not a number", where=str(path), rule="not-finite")
    return {name: torch.from_numpy(np.array(found[name])) for name in expected}


def _written(
    update: Tensors, control: Mapping[str, Tensor] | None, *, steps: int, out: Path
) -> Trained:
    """Write the update, and c_i⁺ as a file of its own."""
    kept = {f"c/{name}": tensor for name, tensor in (control or {}).items()}
    if not all(bool(torch.isfinite(t).all()) for t in (*update.values(), *kept.values())):
        raise Refused(
            "the training left numbers that are not finite",
            todo="A lower optimizer.rate, or a clip, keeps it from diverging.",
            rule="not-finite",
        )
    blob = tensors.write({name: t.cpu().numpy() for name, t in update.items()}, out)
    mine = {name: t.cpu().numpy() for name, t in kept.items()}
    own = tensors.write(mine, out) if kept else None
    return Trained(
        update=tensors.path_of(out, blob.digest),
        digest=blob.digest,
        size=blob.size,
        steps=steps,
        control=None if own is None else tensors.path_of(out, own.digest),
    )


def _count(terms: LocalTerms, patients: int) -> int:
    if terms.mechanism is None and not patients:
        raise Refused("no patient is left to train on", rule="no-patients")
    if terms.steps is not None:
        return terms.steps
    return (terms.epochs or 1) * math.ceil(patients / (terms.batch or patients))


def _optimizer(model: nn.Module, terms: LocalTerms) -> torch.optim.Optimizer:
    if terms.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=terms.rate)
    return torch.optim.SGD(model.parameters(), lr=terms.rate, momentum=terms.momentum)


def _binary_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Return the log-loss of logits, summed over records."""
    return functional.binary_cross_entropy_with_logits(outputs[:, 0], target, reduction="sum")


def _real_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Return half the squared error, summed over records."""
    return functional.mse_loss(outputs[:, 0], target, reduction="sum") / 2


def _category_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Return the log-loss of a logit for each value, summed over records."""
    return functional.cross_entropy(outputs, target.long(), reduction="sum")


LOSS: Final[Mapping[str, Loss]] = {
    "binary": _binary_loss,
    "real": _real_loss,
    "category": _category_loss,
}
