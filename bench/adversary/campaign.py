"""Each attack on each view, on the demonstration's patients."""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cohorts import DEMO, changed, cohorts, some

from adversary import inversion, views
from adversary.membership import explained, lira
from adversary.worlds import first_weights, gradients, margins, update_of, weights, worlds
from governance.privacy.mechanisms import Keystream
from site_agent import training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from adversary.membership import Found
    from adversary.worlds import World
    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import PatientSet

    Floats = NDArray[np.float64]
    Parts = Mapping[str, PatientSet]

EPSILON: Final = 1.35
ROUNDS: Final = 3
HIDDEN: Final = 64
BARE: Final = "coordinator: each update"
MASKED: Final = "coordinator: each masked vector"
SUM: Final = "coordinator: the sum of the masked vectors"
MEMBER: Final = "another hospital: the global models, its own part taken off"
MODEL: Final = "whoever gets the last model"
MEMBERSHIP: Final = (BARE, MASKED, SUM, MEMBER, MODEL)
INVERSION: Final = (BARE, MASKED, SUM, MEMBER)
_COMMON: Final[Mapping[str, Any]] = {
    "model": {"name": "mlp", "hidden": [HIDDEN]},
}
_OFF: Final[Mapping[str, Any]] = {
    "privacy": "off",
    "round": {"local": {"steps": 10, "batch": 16}},
}
_ON: Final[Mapping[str, Any]] = {
    "privacy": {
        "noise_multiplier": None,
        "target": {"epsilon": EPSILON},
        "budget": {"epsilon": EPSILON},
    },
}


@dataclass(frozen=True, slots=True)
class Inverted:
    """How like the patient's record what was read off is, over all trials.

    Attributes:
        mean: Of the cosine; 0 is chance.
        exact: The share of trials in which it is the record itself.
    """

    mean: float
    exact: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.exact:.0%})"


def demo(out: Path, *, private: bool, rounds: int = ROUNDS) -> tuple[Agreement, Parts]:
    """Return the agreement that is attacked, and who trains at each hospital."""
    changes = {**_COMMON, **(_ON if private else _OFF), "schedule": {"rounds": rounds}}
    agreement = changed(DEMO, changes, out).agreement
    return agreement, {name: one.train for name, one in cohorts(DEMO, out, 1).items()}


def membership(
    agreement: Agreement,
    parts: Parts,
    *,
    count: int,
    seed: str,
    seen: Sequence[str] = MEMBERSHIP,
) -> dict[str, Found]:
    """Return what each view tells of who was in, over so many worlds."""
    scores: dict[str, list[Floats]] = {view: [] for view in seen}
    inside: dict[str, list[Floats]] = {view: [] for view in seen}
    for number, world in enumerate(worlds(agreement, parts, count, seed=seed)):
        known = _gradients(agreement, parts, world) if {*seen} - {MODEL} else []
        for view in seen:
            attacked = _attacked(parts, view)
            if view == MODEL:
                each = [margins(agreement, world.last, part) for part in parts.values()]
                scores[view].append(np.concatenate(each))
            else:
                scores[view].append(_told(world, known, [*attacked], view, f"{seed}/{number}"))
            inside[view].append(np.concatenate([world.inside[name] for name in attacked]))
    return {view: lira(np.array(scores[view]), np.array(inside[view])) for view in seen}


def inverted(
    agreement: Agreement, parts: Parts, *, trials: int, seed: str
) -> dict[str, Inverted]:
    """Return how well a record is read off where each hospital steps once, with one patient.

    It is the worst that a batch can be. With privacy the step is clipped and noised.
    """
    told: dict[str, list[float]] = {view: [] for view in INVERSION}
    x, terms = first_weights(agreement), _one_step(agreement)
    for number in range(trials):
        draws = np.random.default_rng([number, *seed.encode()])
        one = {name: _one_of(part, draws) for name, part in parts.items()}
        key = f"{seed}/{number}"
        updates = {
            name: update_of(agreement, x, part, terms, f"{key}/{name}")
            for name, part in one.items()
        }
        for view in INVERSION:
            seen = _seen(updates, weights(parts), view, key)
            for name in _attacked(parts, view):
                read = inversion.record(seen[name], agreement.input_width, HIDDEN)
                told[view].append(inversion.likeness(read, one[name].features[0]))
    return {
        view: Inverted(
            statistics.mean(found), statistics.mean(like > inversion.EXACT for like in found)
        )
        for view, found in told.items()
    }


def _attacked(parts: Parts, view: str) -> Parts:
    """Return whose patients are attacked: all, or those of the others."""
    return dict([*parts.items()][1:]) if view == MEMBER else parts


def _gradients(agreement: Agreement, parts: Parts, world: World) -> list[dict[str, Floats]]:
    """Return every patient's gradient at the model of each round."""
    return [
        {name: gradients(agreement, round_.model, part) for name, part in parts.items()}
        for round_ in world.rounds
    ]


def _told(
    world: World, known: list[dict[str, Floats]], attacked: list[str], view: str, key: str
) -> Floats:
    """Return one score for each patient who is attacked, over all rounds."""
    total = []
    for number, (round_, of) in enumerate(zip(world.rounds, known, strict=True)):
        seen = _seen(round_.updates, round_.weights, view, f"{key}/{number}")
        if view in (BARE, MASKED):
            each = [explained(seen[name], of[name]) for name in attacked]
            total.append(np.concatenate(each))
        else:
            every = np.concatenate([of[name] for name in attacked])
            total.append(explained(seen[attacked[0]], every))
    return np.sum(total, axis=0)


def _seen(
    updates: Mapping[str, Floats], counted: Mapping[str, int], view: str, key: str
) -> Mapping[str, Floats]:
    """Return what a view has of each hospital: something of its own, or the same for all."""
    if view == BARE:
        return updates
    randomness = Keystream(hashlib.sha256(f"masks/{key}".encode()).digest())
    sent, mean = views.masked(updates, counted, randomness)
    if view == MASKED:
        return sent
    if view == SUM:
        return dict.fromkeys(updates, mean)
    member = next(iter(updates))
    rest = views.others(mean, updates[member], counted, member)
    return {name: rest for name in updates if name != member}


def _one_step(agreement: Agreement) -> training.LocalTerms:
    terms = training.terms_of(agreement, 10)
    mechanism = terms.mechanism
    if mechanism is not None:  # the patient is in for certain, and nothing else divides
        mechanism = replace(mechanism, sampling_rate=1.0, divisor=1.0)
    return replace(terms, mechanism=mechanism, steps=1, epochs=None, batch=1)


def _one_of(part: PatientSet, draws: np.random.Generator) -> PatientSet:
    return some(part, np.arange(part.patients) == draws.integers(part.patients))
