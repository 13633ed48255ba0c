"""Scoring this hospital's patients with a released model: nothing of it leaves.

The records are read by site.yaml's own mapping, as those that train; a value that is missing,
unread or out of its range is filled as the agreement says.
"""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from governance import normalisation
from governance.ledger import release_folder
from protos.errors import Refused
from site_agent import apart, released
from site_agent.data import cohort, table
from site_agent.jobs_apart import ScoreJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.settings import SiteSettings
    from site_agent.data.cohort import PatientSet
    from site_agent.data.table import Table
    from site_agent.evaluation import Floats
    from site_agent.membership import Membership


@dataclass(frozen=True, slots=True)
class Scored:
    """How many patients were scored, and what of their records could not be used."""

    release: str
    patients: int
    nameless: int
    unread: int


def predict(m: Membership, records: Path, out: Path, *, release: str = "") -> Scored:
    """Score the patients of a CSV file with a fetched release; write one line for each.

    Raises:
        Refused: there is no such release here, it was recalled, or is not what was published;
            the records cannot be read; or there is a file at `out`.
    """
    name = chosen(m, release)
    place = m.premises.releases / name
    verdict = release_folder.verify(place)
    if verdict.proven is None:
        raise Refused(
            f"the release {name} is not what was published: {verdict.sentence}",
            where=str(place),
            todo=f"Fetch it again: concilium-site fetch {name}",
            rule="release-altered",
        )
    agreement = verdict.proven.agreement.agreement
    mapped = m.settings.cohorts[m.cohort]
    read = table.read_features(mapped, agreement, records)
    encoded = normalised(agreement, verdict.proven.card)
    part, model = cohort.of_features(read, encoded), place / release_folder.MODEL
    said = scores_of(part, verdict.proven.agreement, model, settings=m.settings)
    _write(out, [mapped.patient_id, *columns(agreement)], _rows(read, said))
    return Scored(
        name,
        len(read.ids),
        int((read.patient < 0).sum()),
        sum(column.unread for column in read.features.values()),
    )


def scores_of(
    part: PatientSet, document: Document, model: Path, *, settings: SiteSettings
) -> Floats:
    """Score patients here, or in a confined worker where the model's code is a wheel's."""
    from site_agent.evaluation import scores
    from site_agent.training import read_model

    agreement = document.agreement
    if agreement.model.wheel is None:
        return scores(agreement, part, read_model(model, agreement))
    kept = apart.wheels_of(settings)
    with apart.folder(settings) as folder:
        job = ScoreJob(
            document=folder / "agreement.json",
            model=folder / release_folder.MODEL,
            records=folder / "records.npz",
            out=folder / "scores.npy",
            threads=settings.resources.threads,
            wheels=kept,
        )
        job.document.write_bytes(document.raw)
        shutil.copyfile(model, job.model)
        np.savez(
            job.records,
            features=part.features,
            patient=part.patient,
            patients=np.array(part.patients),
        )
        apart.done(settings, "score", job)
        said: Floats = np.load(job.out, allow_pickle=False)
    return said


def normalised(agreement: Agreement, card: Mapping[str, Any]) -> Agreement:
    """Return the agreement with the proven card's normalisation, where it has its own."""
    if not agreement.statistics_federated:
        return agreement
    scales = normalisation.read(card["normalisation"]["values"])
    return normalisation.applied(agreement, scales)


def chosen(m: Membership, name: str) -> str:
    """Return the release that a verb means: the named one, or the newest that stands here.

    Raises:
        Refused: it is not here, or was recalled.
    """
    here = released.fetched(m)
    held = [one for one in released.every(m) if one.name in here]
    standing = [one for one in held if one.recalled_seq is None]
    found = [one for one in held if one.name == name] if name else (standing or held)[-1:]
    if not found:
        what = f"the release {name} was not fetched here" if name else "no release was fetched"
        raise Refused(
            f"{what} yet",
            todo=f"Fetch it: concilium-site fetch {name or 'RELEASE'}",
            rule="release-not-here",
        )
    released.check_stands(found[0])
    return found[0].name


def columns(agreement: Agreement) -> list[str]:
    """Return the names of a prediction's columns: one, or one for each value of a category."""
    target = agreement.data.target
    if target.kind != "category":
        return [target.name]
    return [f"{target.name}={value}" for value in target.values or ()]


def _rows(read: Table, said: Floats) -> Iterator[list[str]]:
    for patient, score in zip(read.ids, said.reshape(len(read.ids), -1), strict=True):
        yield [patient, *(f"{value:.6f}" for value in score)]


def _write(out: Path, header: list[str], rows: Iterator[list[str]]) -> None:
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(
            "there is a file already",
            where=str(out),
            todo="Name another with --out; nothing was written.",
            rule="output-exists",
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
