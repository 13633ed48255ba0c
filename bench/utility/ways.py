"""Three ways to a model: on all patients together, each hospital alone, and federated.

All take their steps by `site_agent.training.fit`, each with the whole noise of its ε, and the
federation sums as the coordinator does (`coordinator.strategies`). The ε is that of every
single patient in each way.
"""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from coordinator.strategies.fedavg import FedAvg
from governance import models
from governance.privacy import accountant
from governance.privacy.mechanisms import Keystream
from governance.privacy.releases import declared, expected_batch
from site_agent import training
from site_agent.baseline import pool
from site_agent.dpsgd import Mechanism
from site_agent.evaluation import predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import Cohort, PatientSet

    State = dict[str, torch.Tensor]

ROUNDS: Final = 5
DELTA: Final = 1e-5
WAYS: Final = ("central", "alone", "federated")


@dataclass(frozen=True, slots=True)
class Choice:
    """How is trained: `steps` are those of all rounds; without privacy a batch is q of all."""

    steps: int
    sampling_rate: float
    clip: float
    rate: float

    def text(self) -> str:
        """Return it in a few words."""
        clip = f", C = {self.clip:g}" if self.clip else ""
        return f"{self.steps} steps, q = {self.sampling_rate:g}{clip}, η = {self.rate:g}"


@dataclass(frozen=True, slots=True)
class Setting:
    """What one figure is of: an agreement's model, ε, and how is trained."""

    agreement: Agreement
    epsilon: float | None
    choice: Choice

    def terms(self, patients: int, steps: int) -> training.LocalTerms:
        """Return the terms of so many steps at one hospital."""
        choice = self.choice
        mechanism = None
        if self.epsilon is not None:
            mechanism = Mechanism(
                choice.sampling_rate,
                choice.clip,
                accountant.noise_for(
                    self.epsilon,
                    sampling_rate=choice.sampling_rate,
                    steps=choice.steps,
                    delta=DELTA,
                ),
                float(expected_batch(choice.sampling_rate, declared(patients))),
            )
        return training.LocalTerms(
            loss=training.LOSS[self.agreement.data.target.kind],
            optimizer="sgd",
            rate=choice.rate,
            momentum=0.0,
            mechanism=mechanism,
            steps=steps,
            epochs=None,
            batch=max(1, round(choice.sampling_rate * patients)),
        )


def auc(way: str, setting: Setting, cohorts: Mapping[str, Cohort], *, seed: str) -> float:
    """Train and return the AUC on the held-out patients of all hospitals together.

    Of hospitals alone it is the mean of what each one's own model is worth there.
    """
    every = pool([cohort.held_out for cohort in cohorts.values()])
    if way == "central":
        together = pool([cohort.train for cohort in cohorts.values()])
        counted = sum(cohort.patients for cohort in cohorts.values())
        state = _trained(setting, together, counted, setting.choice.steps, seed)
        return _scored(setting.agreement, every, state)
    if way == "alone":
        steps = setting.choice.steps
        states = (
            _trained(setting, cohort.train, cohort.patients, steps, f"{seed}/{name}")
            for name, cohort in cohorts.items()
        )
        return statistics.mean(_scored(setting.agreement, every, state) for state in states)
    *_, last = federated(setting, cohorts, seed=seed)
    return _scored(setting.agreement, every, last)


def federated(setting: Setting, cohorts: Mapping[str, Cohort], *, seed: str) -> Iterator[State]:
    """Yield the global model after each round: FedAvg, weighted by declared patients."""
    weights = [declared(cohort.patients) for cohort in cohorts.values()]
    x = _parameters(models.build(setting.agreement))
    for number in range(ROUNDS):
        deltas = []
        for name, cohort in cohorts.items():
            steps = setting.choice.steps // ROUNDS
            key = f"{seed}/{name}/{number}"
            y = _trained(setting, cohort.train, cohort.patients, steps, key, x)
            deltas.append({part: (y[part] - x[part]).numpy() for part in x})
        x = {
            part: torch.from_numpy(
                FedAvg()
                .model(x[part].numpy(), (delta[part] for delta in deltas), weights)
                .astype(np.float32)
            )
            for part in x
        }
        yield x


def digest(setting: Setting) -> str:
    """Return what tells a figure's terms from others'."""
    said = f"{setting.agreement.model!r} {setting.epsilon} {asdict(setting.choice)} {ROUNDS}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _trained(
    setting: Setting,
    part: PatientSet,
    patients: int,
    steps: int,
    seed: str,
    start: State | None = None,
) -> State:
    model = models.build(setting.agreement)
    if start is not None:
        model.load_state_dict(start)
    training.fit(
        model,
        training.patients_of(part),
        setting.terms(patients, steps),
        Keystream(hashlib.sha256(f"utility/{seed}".encode()).digest()),
        lambda _: None,
        lambda _: None,
    )
    return _parameters(model)


def _parameters(model: torch.nn.Module) -> State:
    return {name: p.clone() for name, p in training.parameters(model).items()}


def _scored(agreement: Agreement, part: PatientSet, state: State) -> float:
    scores, labels = predictions(agreement, part, state)
    return float(roc_auc_score(labels, scores))
