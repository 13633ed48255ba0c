"""What a model is worth on the patients who never train: one score for each of them.

A patient's score is the mean over its records. A probability when the target is binary, one for
each value when it is a category, else a value in the target's unit. Where the agreement names
subgroups, figures of each that may be said are beside those of all. Where it wants noise, that
is drawn here, and what is without it does not leave this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from governance import figures, noised, subgroups
from governance.agreement.load import parse
from site_agent import grouping
from site_agent.data.cohort import PatientSet
from site_agent.jobs import Evaluated
from site_agent.ready import ready
from site_agent.training import device_of, keystream, module, read_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from governance.agreement.schema import Agreement
    from governance.figures import Figures
    from site_agent.jobs import EvaluateJob
    from site_agent.jobs_apart import ScoreJob

    Floats = NDArray[np.float64]


def evaluate(job: EvaluateJob) -> Evaluated:
    """Return a model's figures on the held-out patients of a cohort, all and by subgroup.

    Raises:
        Refused: The cohort can't be read or breaks the contract.
        PeerFault: The model is not what the agreement describes.
    """
    torch.set_num_threads(job.threads)
    document = parse(job.document.read_bytes())
    agreement = document.agreement
    cohort = ready(job.cohort, document, by=job.normalised(agreement))
    state, device = read_model(job.model, agreement), device_of(job.device)
    scores, labels = predictions(agreement, cohort.held_out, state, device)
    if agreement.metrics_noised:
        draw = keystream(job.noise_seed).gaussian
        return Evaluated(noised.noised_of(scores, labels, agreement, draw))

    def of(some: NDArray[np.bool_]) -> Figures:
        return figures.figures_of(
            scores[some],
            labels[some],
            kind=agreement.data.target.kind,
            minimum=agreement.figures_minimum,
            # without privacy the update itself tells of every class
            each_class=agreement.privacy is not None,
        )

    whole = of(np.ones(len(labels), dtype=np.bool_))
    columns = subgroups.columns_of(agreement.data)
    if not columns:
        return Evaluated(whole)
    told = grouping.by_group(cohort.held_out, columns, of)
    return Evaluated(whole, subgroups.to_json(told))


def predictions(
    agreement: Agreement,
    part: PatientSet,
    state: Mapping[str, Tensor],
    device: str = "cpu",
) -> tuple[Floats, Floats]:
    """Return each patient's score and what was so, in the order of `part`.

    Of a category the scores are patients × values, and what was so is the place of the value
    that most of a patient's records have.
    """
    target, said = agreement.data.target, scores(agreement, part, state, device)
    if target.kind == "category":
        so = shares(part, agreement.output_width).argmax(axis=1).astype(np.float64)
        return said, so
    if target.kind == "binary":
        return said, _each(part.target, part).round()
    mean, std = _unit(agreement)
    return said, _each(part.target, part) * std + mean


def score(job: ScoreJob) -> dict[str, str]:
    """Write the scores of records that were made ready, and say where.

    Raises:
        PeerFault: The model is not what the agreement describes.
    """
    torch.set_num_threads(job.threads)
    agreement = parse(job.document.read_bytes()).agreement
    with np.load(job.records, allow_pickle=False) as held:
        features, patient, patients = held["features"], held["patient"], int(held["patients"])
    nothing = np.zeros(len(features), np.float32)
    part = PatientSet(features, nothing, patient, patients)
    np.save(job.out, scores(agreement, part, read_model(job.model, agreement)))
    return {"out": str(job.out)}


def scores(
    agreement: Agreement,
    part: PatientSet,
    state: Mapping[str, Tensor],
    device: str = "cpu",
) -> Floats:
    """Return each patient's score, in the order of `part`; of a category patients × values."""
    model = module(agreement, state).to(device).eval()
    with torch.no_grad():
        features = torch.from_numpy(np.ascontiguousarray(part.features)).to(device)
        every = model(features).cpu().double()
    kind, outputs = agreement.data.target.kind, every[:, 0]
    if kind == "category":
        return _columns(torch.softmax(every, dim=1).numpy(), part)
    if kind == "binary":
        return _each(torch.sigmoid(outputs).numpy(), part)
    mean, std = _unit(agreement)
    return _each(outputs.numpy(), part) * std + mean


def _unit(agreement: Agreement) -> tuple[float, float]:
    """Return the mean and the deviation by which a target was normalised."""
    reference = agreement.data.target.reference
    return (reference.mean, reference.std) if reference else (0.0, 1.0)


def shares(part: PatientSet, values: int) -> Floats:
    """Return what share of each patient's records has each value; patients × values."""
    return _columns(part.target[:, None] == np.arange(values), part)


def _columns(values: NDArray[Any], part: PatientSet) -> Floats:
    """Return the mean of each column over each patient's records."""
    return np.stack([_each(column.astype(np.float64), part) for column in values.T], axis=1)


def _each(values: NDArray[np.floating], part: PatientSet) -> Floats:
    """Return the mean over each patient's records."""
    total = np.bincount(part.patient, weights=values, minlength=part.patients)
    return total / np.bincount(part.patient, minlength=part.patients)
