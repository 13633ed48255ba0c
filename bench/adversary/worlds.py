"""Trainings that could have been: in each, every patient took part with probability ½.

All hospitals train for some rounds by the code that trains for real, and the coordinator's
rule makes the next model. An attacker who knows such worlds calibrates on them what a patient's
presence does (shadow models; Carlini et al. 2022, "Membership Inference Attacks From First
Principles").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from cohorts import some
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from coordinator.strategies.fedavg import weighted_mean
from governance import models
from governance.privacy.mechanisms import Keystream
from governance.privacy.releases import declared
from site_agent import training

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import PatientSet
    from site_agent.training import LocalTerms

    Floats = NDArray[np.float64]
    Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Round:
    """The model that a round began with, each hospital's update, flat, and what it counts."""

    model: Floats
    updates: Mapping[str, Floats]
    weights: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class World:
    """Who took part at each hospital, the rounds, and the model at the end."""

    inside: Mapping[str, Bits]
    rounds: tuple[Round, ...]
    last: Floats


def worlds(
    agreement: Agreement, parts: Mapping[str, PatientSet], count: int, *, seed: str
) -> Iterator[World]:
    """Yield so many worlds of an agreement's training; the same seed, the same worlds."""
    for number in range(count):
        draws = np.random.default_rng([number, *seed.encode()])
        inside = {name: draws.random(part.patients) < 0.5 for name, part in parts.items()}
        yield _world(agreement, parts, inside, f"{seed}/{number}")


def weights(parts: Mapping[str, PatientSet]) -> dict[str, int]:
    """Return what each hospital's update counts in the mean."""
    return {name: declared(part.patients) for name, part in parts.items()}


def gradients(agreement: Agreement, model: Floats, part: PatientSet) -> Floats:
    """Return each patient's gradient at a model, patients × parameters; one record each."""
    made = models.build(agreement)
    _set(made, model)
    named = {name: p.detach() for name, p in made.named_parameters()}

    def loss(state, record, outcome):  # noqa: ANN001, ANN202 - torch's
        out = functional_call(made, state, (record[None],))[0, 0]
        return functional.binary_cross_entropy_with_logits(out, outcome)

    features, target = torch.from_numpy(part.features), torch.from_numpy(part.target)
    found = vmap(grad(loss), (None, 0, 0))(named, features, target)
    return torch.cat([g.reshape(len(features), -1) for g in found.values()], 1).double().numpy()


def margins(agreement: Agreement, model: Floats, part: PatientSet) -> Floats:
    """Return the log-odds that a model gives to what is so, patient by patient."""
    made = models.build(agreement)
    _set(made, model)
    with torch.no_grad():
        logits = made(torch.from_numpy(part.features))[:, 0].double().numpy()
    return (2 * part.target - 1) * logits


def first_weights(agreement: Agreement) -> Floats:
    """Return the model that a federation begins with, as a flat vector."""
    return _flat(models.build(agreement))


def update_of(
    agreement: Agreement, x: Floats, part: PatientSet, terms: LocalTerms, key: str
) -> Floats:
    """Return a hospital's update of a model, by the code that trains for real."""
    model = models.build(agreement)
    _set(model, x)
    randomness = Keystream(hashlib.sha256(key.encode()).digest())
    patients = training.patients_of(part)
    training.fit(model, patients, terms, randomness, lambda _: None, lambda _: None)
    return _flat(model) - x


def _world(
    agreement: Agreement, parts: Mapping[str, PatientSet], inside: Mapping[str, Bits], key: str
) -> World:
    x, rounds, counted = first_weights(agreement), [], weights(parts)
    for number in range(agreement.schedule.rounds):
        updates = {}
        for name, part in parts.items():
            taken = some(part, inside[name])
            terms = training.terms_of(agreement, declared(taken.patients))
            updates[name] = update_of(agreement, x, taken, terms, f"{key}/{name}/{number}")
        rounds.append(Round(x, updates, counted))
        x = x + weighted_mean(updates.values(), list(counted.values()))
    return World(inside, tuple(rounds), x)


def _flat(model: torch.nn.Module) -> Floats:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).double().numpy()


def _set(model: torch.nn.Module, flat: Floats) -> None:
    torch.nn.utils.vector_to_parameters(torch.from_numpy(flat).float(), model.parameters())
