"""A small hospital: an agreement, a CSV, and jobs on them."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from governance import models, tensors
from governance.agreement.load import load
from governance.settings import CohortSettings
from site_agent.jobs import EvaluateJob, TrainJob, cohort_spec

AGREEMENT = {
    "agreement": 1,
    "federation": "small",
    "title": "A small one",
    "purpose": ["DUO:0000006"],
    "owner": "Nobody",
    "licence": "CC0-1.0",
    "coordinator": {"operator": "Nobody", "hosted_in": "NL"},
    "valid": {"from": "2026-01-01", "until": "2035-12-31"},
    "notice": "14d",
    "sites": {"roster": ["a", "b", "c"], "ready_at_least": 3, "close_at_least": 3},
    "operators": {"keys": ["op"], "two_for": []},
    "schedule": {"rounds": 4},
    "round": {"deadline": "10m", "local": {"steps": 5, "sampling_rate": 0.25}},
    "data": {
        "minimum_patients": 10,
        "target": {"name": "ill", "kind": "binary", "prevalence": [0.05, 0.95]},
        "features": [
            {"name": "u", "unit": "1", "kind": "real", "range": [-9, 9],
             "reference": {"mean": 0, "std": 1}, "missing": {"at_most": 0.1, "fill": 0}},
            {"name": "v", "unit": "1", "kind": "real", "range": [-9, 9],
             "reference": {"mean": 0, "std": 1}},
        ],
    },
    "model": {"name": "linear", "seed": 1},
    "strategy": {"name": "fedavg"},
    "optimizer": {"name": "sgd", "rate": 0.5},
    "privacy": {
        "clip": 1.0, "noise_multiplier": 1.0, "delta": 1e-5, "budget": {"epsilon": 100},
        "metrics": {"exact": {"every": 1}, "minimum": 10},
    },
    "aggregation": {"secure": False},
}  # fmt: skip


def changed(base, changes):
    """Return a copy with `a.b` set to a value."""
    made = {**base}
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        made[head] = changed(made.get(head) or {}, {rest: value}) if rest else value
    return made


class Hospital:
    """Files of one hospital; `patients` have one to three records each."""

    def __init__(self, folder: Path, *, patients=200, seed=0, **changes):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        written = folder / "agreement.yaml"
        written.write_text(yaml.safe_dump(changed(AGREEMENT, changes)))
        self.document = load(written)
        self.agreement = self.document.agreement
        (folder / "agreement.json").write_bytes(self.document.raw)
        (folder / "secret").write_bytes(bytes(range(32)))
        self.csv = folder / "patients.csv"
        self.write_patients(patients, seed)
        self.model = self.write_model(models.initial_state(self.agreement))

    def write_patients(self, patients, seed):
        draws = np.random.default_rng(seed)
        with self.csv.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["ID", "U", "V", "ILL"])
            for patient in range(patients):
                u, v = draws.normal(size=2)
                outcome = int(u - v + draws.normal() * 0.5 > 0)
                if self.agreement.data.target.kind == "real":
                    outcome = 100 + 10 * (u - v)
                for _ in range(1 + patient % 3):
                    rows.writerow([f"P{patient}", u + draws.normal() * 0.1, v, outcome])

    def write_model(self, state):
        blob = tensors.write(state, self.folder / "in")
        return tensors.path_of(self.folder / "in", blob.digest)

    @property
    def settings(self):
        said = {
            "source": {"csv": str(self.csv)},
            "patient_id": "ID",
            "held_out": 0.25,
            "map": {"u": {"column": "U"}, "v": {"column": "V"}, "ill": {"column": "ILL"}},
        }
        return CohortSettings.model_validate(said, context={"folder": self.folder})

    def write_site(self, name, *, rehearsal=True):
        """Write a site.yaml beside the files, as a rehearsal does; return its path."""
        said = {
            "site": 1,
            "name": name,
            "state": "state/",
            "rehearsal": rehearsal,
            "cohorts": {"all": self.settings.model_dump(mode="json", exclude_none=True)},
            "policy": {
                "cap": {"epsilon": 8.0, "delta": 1e-5},
                "purposes": ["DUO:0000006"],
                "models": ["builtin:linear"],
            },
        }
        (self.folder / "state").mkdir()
        (self.folder / "state" / "held-out.secret").write_bytes(bytes(range(32)))
        path = self.folder / "site.yaml"
        path.write_text(yaml.safe_dump(said))
        return path

    def spec(self, opt_outs=()):
        secret = self.folder / "secret"
        return cohort_spec(self.settings, secret=secret, opt_outs=opt_outs)

    def job(self, **changes):
        job = TrainJob(
            document=self.folder / "agreement.json",
            cohort=self.spec(),
            model=self.model,
            state=None,
            control=None,
            out=self.folder / "out",
            declared_patients=200,
            noise_seed=7,
            threads=1,
        )
        return dataclasses.replace(job, **changes)

    def evaluation(self, model=None):
        document = self.folder / "agreement.json"
        return EvaluateJob(document, self.spec(), model or self.model, threads=1)


@pytest.fixture
def hospital(tmp_path):
    """Return a maker of hospitals in folders of their own."""

    def make(name="a", **changes):
        return Hospital(tmp_path / name, **changes)

    return make
