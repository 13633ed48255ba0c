"""Patients to measure on: the demonstration's, the heart study's, and invented ones like them.

A study is a folder of configs/: an agreement and its hospitals' files. Cohorts are read as an
agent reads them, by the hospital's own site.yaml. A seed decides who is held out.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import yaml

from coordinator.rehearsal.synthetic import Invention, write
from governance.agreement.load import load
from governance.settings import load_site
from governance.yaml_positions import read
from site_agent.data.cohort import Cohort, PatientSet
from site_agent.jobs import cohort_spec
from site_agent.ready import ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.agreement.load import Document

CONFIGS: Final = Path(__file__).parents[2] / "configs"
_SKEW: Final = 0.3


@dataclass(frozen=True, slots=True)
class Study:
    """An agreement with its hospitals.

    Args:
        name: What it is called.
        folder: Of its agreement and sites.
        script: What writes the hospitals' files, and its arguments.
    """

    name: str
    folder: Path
    script: tuple[str, ...]

    @property
    def document(self) -> Document:
        """The agreement as it is."""
        return load(self.folder / "agreement.yaml")

    def sites(self, out: Path) -> Path:
        """Write every hospital's folder, with its patients; return where they are."""
        sites = out / self.name
        if not sites.exists():
            ignored = shutil.ignore_patterns("*.csv", "state")
            shutil.copytree(self.folder / "sites", sites, ignore=ignored)
            command = [sys.executable, *self.script, "--out", str(sites)]
            subprocess.run(command, check=True, capture_output=True, cwd=CONFIGS.parent)
        return sites


DEMO: Final = Study("demo", CONFIGS / "breast-cancer", ("configs/breast-cancer/cohort.py",))


def heart(data: Path) -> Study:
    """Return the heart study, whose data are elsewhere."""
    script = ("configs/heart/hospitals.py", "--data", str(data.resolve()))
    return Study("heart", CONFIGS / "heart", script)


def cohorts(study: Study, out: Path, seed: int) -> dict[str, Cohort]:
    """Return each hospital's patients; the seed decides who is held out."""
    return _read(study.sites(out), study.document, out, seed)


def invented(
    study: Study, out: Path, seed: int, like: Mapping[str, Cohort]
) -> dict[str, Cohort]:
    """Return hospitals of patients who do not exist, as large as these.

    They are made from the agreement's data contract and a seed, and from nothing else; a
    hospital's size is what its consent declares to everybody.
    """
    folder = out / f"{study.name}-invented-{seed}"
    if not folder.exists():
        source = study.folder / "agreement.yaml"
        write(source, study.document.agreement, folder, Invention(None, _SKEW), seed=seed)
    document = load(folder / "agreement.yaml")
    found = _read(folder / "sites", document, out, seed)
    return {
        name: Cohort(
            like[name].patients,
            first(cohort.train, like[name].train.patients),
            first(cohort.held_out, like[name].held_out.patients),
            0,
        )
        for name, cohort in found.items()
    }


def first(part: PatientSet, patients: int) -> PatientSet:
    """Return the records of the first so many patients."""
    return some(part, np.arange(part.patients) < patients)


def some(part: PatientSet, taken: np.ndarray) -> PatientSet:
    """Return the records of those patients who are taken, numbered anew."""
    kept = taken[part.patient]
    number = np.cumsum(taken) - 1
    return PatientSet(
        part.features[kept], part.target[kept], number[part.patient[kept]], int(taken.sum())
    )


def _read(sites: Path, document: Document, out: Path, seed: int) -> dict[str, Cohort]:
    secret = out / f"held-out-{seed}.secret"
    secret.write_bytes(hashlib.sha256(f"held out {seed}".encode()).digest())
    found = {}
    for path in sorted(sites.glob("*/site.yaml")):
        site = load_site(path)
        (settings,) = site.cohorts.values()
        found[site.name] = ready(cohort_spec(settings, secret=secret), document)
    return found


def changed(
    study: Study, changes: Mapping[str, Mapping[str, object] | str], out: Path
) -> Document:
    """Return the study's agreement with other values in these sections; None takes one out."""
    said = dict(read(study.folder / "agreement.yaml").value)
    for section, values in changes.items():
        if isinstance(values, str):
            said[section] = values
        else:
            both = {**said[section], **values}
            said[section] = {name: value for name, value in both.items() if value is not None}
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    path = out / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)
