"""What a rehearsal compares the federated model with, in one process over all files.

The naive guess (the prevalence among those who train), each hospital training alone, and
central training on the pooled patients, the last two with the federation's own steps, sampling
rate, noise, clip and divisor. Outside a rehearsal this would be a release, or nobody's right.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from governance import normalisation
from governance.agreement.load import parse
from governance.privacy.releases import declared
from site_agent import training
from site_agent.data.cohort import Cohort, PatientSet
from site_agent.evaluation import predictions, shares
from site_agent.ready import ready
from site_agent.strategies import local_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.figures import Kind
    from site_agent.jobs_apart import CompareJob

    Floats = NDArray[np.float64]
    Scores = Mapping[str, float | None]

DIGITS = 6
FEWEST_OF_A_CLASS: Final = 5
"""An AUC against fewer patients is chance: its standard error is near a quarter."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of one model beside what was so, on some held-out patients."""

    scores: Floats
    labels: Floats

    def metrics(self, kind: Kind) -> Scores:
        """Return the metrics of a kind of target; None for one that cannot be computed."""
        if not len(self.labels):
            return dict.fromkeys(METRICS_OF[kind])
        return {name: _METRICS[name](self) for name in METRICS_OF[kind]}

    def auc(self) -> float | None:
        """Return the area under the ROC curve, or None with fewer than five of a class."""
        from sklearn.metrics import roc_auc_score

        positives = int(self.labels.sum())
        if min(positives, len(self.labels) - positives) < FEWEST_OF_A_CLASS:
            return None
        return _rounded(roc_auc_score(self.labels, self.scores))

    def accuracy(self) -> float:
        """Return the share of patients whose likeliest class is theirs."""
        several = self.scores.ndim == 2
        said = self.scores.argmax(axis=1) if several else self.scores > 0.5
        return _rounded(np.mean(said == self.labels))

    def rmse(self) -> float:
        """Return the root of the mean squared error in the target's unit."""
        return _rounded(np.sqrt(np.mean((self.scores - self.labels) ** 2)))


METRICS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    "binary": ("auc", "accuracy"),
    "real": ("rmse",),
    "category": ("accuracy",),
}
"""What models are compared by; the first decides whether federation gains."""
_METRICS: Final[Mapping[str, Callable[[Judged], float | None]]] = {
    "auc": Judged.auc,
    "accuracy": Judged.accuracy,
    "rmse": Judged.rmse,
}


def compared(job: CompareJob) -> dict[str, str]:
    """Compare, write the comparison as JSON, and say where."""
    training.use_threads(job.threads)
    read = parse(job.document.read_bytes())
    by = _normalised(read, job.scales)
    cohorts = {name: ready(spec, read, by=by) for name, spec in job.cohorts.items()}
    federated = training.read_model(job.model, read.agreement)
    said = _Comparison(read, cohorts, job.seed).all(federated)
    job.out.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
    return {"out": str(job.out)}


def train_alone(
    document: Document, cohort: Cohort, *, declared_patients: int, noise_seed: int | None
) -> dict[str, Tensor]:
    """Return the model that one hospital makes alone with all of the schedule's steps."""
    return _trained(document.agreement, cohort.train, declared_patients, noise_seed)


def train_central(
    document: Document,
    cohorts: Sequence[Cohort],
    *,
    declared_patients: int,
    noise_seed: int | None,
) -> dict[str, Tensor]:
    """Return the model that the pooled patients would make; L = q × the sum of the declared."""
    pooled = pool([cohort.train for cohort in cohorts])
    return _trained(document.agreement, pooled, declared_patients, noise_seed)


def drift(
    document: Document, cohort: Cohort, *, declared_patients: int, noise_seed: int | None
) -> float:
    """Return ‖y − x‖ of one hospital after one task from the first weights x.

    It is what the first round's update would be long, by the strategy's own local rule.
    """
    agreement = document.agreement
    model = training.first_module(agreement)
    x = {name: tensor.clone() for name, tensor in training.parameters(model).items()}
    rate = agreement.optimizer.rate
    rule = local_rule(agreement.strategy, x=x, c=None, c_i=None, rate=rate)
    training.fit(
        model,
        training.patients_of(cohort.train),
        training.terms_of(agreement, declared_patients),
        training.keystream(noise_seed),
        rule.correction,
        lambda _: None,
    )
    y = training.parameters(model)
    return math.sqrt(sum(float(((y[name] - x[name]).double() ** 2).sum()) for name in x))


def pool(parts: Sequence[PatientSet]) -> PatientSet:
    """Return all patients as one set; a patient of two hospitals counts twice."""
    starts = np.cumsum([0, *(part.patients for part in parts)])
    shifted = [part.patient + start for part, start in zip(parts, starts, strict=False)]
    return PatientSet(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate(shifted),
        int(starts[-1]),
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    document: Document
    cohorts: Mapping[str, Cohort]
    seed: int | None

    def all(self, federated: Mapping[str, Tensor]) -> dict[str, Any]:
        """Train what is compared and judge it, hospital by hospital and pooled."""
        counted = {name: declared(cohort.patients) for name, cohort in self.cohorts.items()}
        alone = {
            name: train_alone(
                self.document,
                cohort,
                declared_patients=counted[name],
                noise_seed=_derived(self.seed, f"alone/{name}"),
            )
            for name, cohort in self.cohorts.items()
        }
        central = train_central(
            self.document,
            list(self.cohorts.values()),
            declared_patients=sum(counted.values()),
            noise_seed=_derived(self.seed, "central"),
        )
        every = {"federated": federated, "central": central}
        sites = {
            name: self._of(cohort, {**every, "alone": alone[name]})
            for name, cohort in self.cohorts.items()
        }
        said = {"sites": self._beside(sites, alone), "pooled": self._pooled(every, alone)}
        self._add_drift(said, counted)
        return said

    def _add_drift(self, said: dict[str, Any], counted: Mapping[str, int]) -> None:
        """Add how far the first round takes each hospital, and the root mean square of all."""
        far = {
            name: drift(
                self.document,
                cohort,
                declared_patients=counted[name],
                noise_seed=_derived(self.seed, f"drift/{name}"),
            )
            for name, cohort in self.cohorts.items()
        }
        for name, length in far.items():
            said["sites"][name]["drift"] = _rounded(length)
        squares = [length**2 for length in far.values()]
        said["pooled"]["drift"] = _rounded(math.sqrt(math.fsum(squares) / len(squares)))

    def _of(self, cohort: Cohort, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
        """Judge models and the naive guess on a cohort's held-out patients."""
        judged = {name: self._judge(cohort, state) for name, state in states.items()}
        labels = next(iter(judged.values())).labels
        said: dict[str, Any] = {
            name: scored.metrics(self._kind) for name, scored in judged.items()
        }
        said["naive"] = self._naive(cohort, labels).metrics(self._kind)
        said["patients"] = cohort.patients
        said["held_out"] = {"patients": len(labels)}
        if self._kind == "binary":
            said["held_out"]["positives"] = int(labels.sum())
        return said

    def _pooled(
        self,
        every: Mapping[str, Mapping[str, Tensor]],
        alone: Mapping[str, Mapping[str, Tensor]],
    ) -> dict[str, Any]:
        said = self._of(self._together, every)
        each = [self._judge(self._together, state) for state in alone.values()]
        metrics = [scored.metrics(self._kind) for scored in each]
        said["alone_mean"] = {
            name: _mean([found[name] for found in metrics]) for name in metrics[0]
        }
        return said

    def _beside(
        self, sites: dict[str, Any], alone: Mapping[str, Mapping[str, Tensor]]
    ) -> dict[str, Any]:
        """Say of each hospital's own model what it is worth to everybody's patients."""
        for name, state in alone.items():
            scored = self._judge(self._together, state)
            sites[name]["alone_on_all"] = scored.metrics(self._kind)
        return sites

    def _judge(self, cohort: Cohort, state: Mapping[str, Tensor]) -> Judged:
        return Judged(*predictions(self.document.agreement, cohort.held_out, state))

    def _naive(self, cohort: Cohort, labels: Floats) -> Judged:
        """Guess for everybody the mean of those who train, each patient weighing the same.

        Of a category that is the share of each value.
        """
        train, target = cohort.train, self.document.agreement.data.target
        if target.kind == "category":
            of_each = shares(train, target.output_width)
            likely = of_each.mean(axis=0) if train.patients else np.zeros(target.output_width)
            return Judged(np.tile(likely, (len(labels), 1)), labels)
        records = np.bincount(train.patient, minlength=train.patients)
        sums = np.bincount(train.patient, weights=train.target, minlength=train.patients)
        guess = float(np.mean(sums / records)) if train.patients else 0.0
        if target.reference is not None:
            guess = guess * target.reference.std + target.reference.mean
        return Judged(np.full(len(labels), guess), labels)

    @property
    def _together(self) -> Cohort:
        parts = list(self.cohorts.values())
        return Cohort(
            patients=sum(part.patients for part in parts),
            train=pool([part.train for part in parts]),
            held_out=pool([part.held_out for part in parts]),
            left_out=sum(part.left_out for part in parts),
        )

    @property
    def _kind(self) -> Kind:
        return self.document.agreement.data.target.kind


def _trained(
    agreement: Agreement, part: PatientSet, declared_patients: int, noise_seed: int | None
) -> dict[str, Tensor]:
    model = training.first_module(agreement)
    training.fit(
        model,
        training.patients_of(part),
        training.terms_of(agreement, declared_patients).lasting(agreement.schedule.rounds),
        training.keystream(noise_seed),
        lambda _: None,
        lambda _: None,
    )
    return training.parameters(model)


def _normalised(document: Document, scales: Path | None) -> Agreement:
    if scales is None:
        return document.agreement
    found = normalisation.read(json.loads(scales.read_bytes()))
    return normalisation.applied(document.agreement, found)


def _derived(seed: int | None, purpose: str) -> int | None:
    if seed is None:
        return None
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big")


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return _rounded(np.mean(there)) if there else None


def _rounded(value: Any) -> float:  # noqa: ANN401 -- numpy's scalars of any kind
    return round(float(value), DIGITS)
