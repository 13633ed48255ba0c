"""Ten hospitals' files of scikit-learn's digits: 1,797 images of 8 × 8 pixels, ten labels.

(E. Alpaydin, C. Kaynak 1998; UCI Machine Learning Repository, data set 80; CC BY 4.0.) Each
image stands for a patient. With `dirichlet` every label is dealt to the hospitals by shares
drawn from a Dirichlet distribution of 0.1 (Hsu et al. 2019), so that most hospitals see few
labels; a draw that leaves one with fewer than `FEWEST` is drawn again. With `iid` all are dealt
at random.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Part = NDArray[np.int64]

SITES: Final = tuple(f"hospital-{number:02d}" for number in range(1, 11))
CONCENTRATION: Final = 0.1
FEWEST: Final = 80
PIXELS: Final = tuple(f"pixel_{row}{column}" for row in range(8) for column in range(8))
DIGITS: Final = tuple(map(str, range(10)))
UNSAFE: Final = ("no-isolation", "no-privacy")
"""What these files accept: there is no privacy in this study, and no patient."""


def write(folder: Path, *, split: str, seed: int) -> None:
    """Write each hospital's patients.csv and site.yaml; the same seed, the same bytes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    parts = _dirichlet(labels, rng) if split == "dirichlet" else _iid(labels, rng)
    for name, part in zip(SITES, parts, strict=True):
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        with (own / "patients.csv").open("w", encoding="utf-8", newline="") as text:
            lines = csv.writer(text, lineterminator="\n")
            lines.writerow(["patient", "digit", *PIXELS])
            for image in part:
                cells = [f"{value:g}" for value in images[image]]
                lines.writerow([f"image-{image:04d}", labels[image], *cells])
        said = yaml.safe_dump(_settings(name), sort_keys=False)
        (own / "site.yaml").write_text(said, encoding="utf-8")


def _dirichlet(labels: Part, rng: np.random.Generator) -> list[Part]:
    while True:
        parts: list[list[Part]] = [[] for _ in SITES]
        for label in np.unique(labels):
            images = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(len(SITES), CONCENTRATION))
            ends = (np.cumsum(shares)[:-1] * len(images)).astype(int)
            for part, dealt in zip(parts, np.split(images, ends), strict=True):
                part.append(dealt)
        dealt_to = [np.sort(np.concatenate(part)) for part in parts]
        if min(map(len, dealt_to)) >= FEWEST:
            return dealt_to


def _iid(labels: Part, rng: np.random.Generator) -> list[Part]:
    return [np.sort(p) for p in np.array_split(rng.permutation(len(labels)), len(SITES))]


def _settings(name: str) -> dict[str, Any]:
    return {
        "site": 1,
        "name": name,
        "state": "state/",
        "officer_key": "keys/officer.pem",
        "federations": [],
        "cohorts": {
            "digits": {
                "source": {"csv": "patients.csv", "encoding": "utf-8"},
                "patient_id": "patient",
                "held_out": 0.2,
                "map": {column: {"column": column} for column in ("digit", *PIXELS)},
            }
        },
        "policy": {
            "cap": {"epsilon": 1.0, "delta": 1e-5},
            "minimum_sites": 3,
            "purposes": ["DUO:0000042"],
            "models": ["builtin:linear"],
            "require_secure_aggregation": False,
            "unsafe": list(UNSAFE),
        },
        "resources": {"threads": 1, "isolation": "none"},
    }


def agreement(strategy: dict[str, Any], *, rounds: int) -> str:
    """Return the agreement: softmax regression, 50 steps of batch 16 at rate 0.5."""
    said = {
        "agreement": 1,
        "federation": f"digits-{strategy['name']}",
        "title": f"Handwritten digits by {strategy['name']}",
        "purpose": ["DUO:0000042"],
        "owner": "A study of strategies",
        "licence": "CC-BY-4.0",
        "coordinator": {"operator": "A study of strategies", "hosted_in": "NL"},
        "valid": {"from": "2026-01-01", "until": "2035-12-31"},
        "notice": "14d",
        "sites": {"roster": list(SITES), "ready_at_least": 10, "close_at_least": 10},
        "operators": {"keys": ["operator"], "two_for": []},
        "schedule": {"rounds": rounds},
        "round": {"deadline": "10m", "local": {"steps": 50, "batch": 16}},
        "data": {
            "unit": "patient",
            "minimum_patients": FEWEST,
            "target": {"name": "digit", "kind": "category", "values": list(DIGITS)},
            "features": [_pixel(name) for name in PIXELS],
        },
        "model": {"name": "linear", "seed": 1},
        "strategy": strategy,
        "optimizer": {"name": "sgd", "rate": 0.5},
        "privacy": "off",
        "aggregation": {"secure": False, "weighting": "equal"},
    }
    return yaml.safe_dump(said, sort_keys=False, width=100)


def _pixel(name: str) -> dict[str, Any]:
    reference = {"mean": 0, "std": 16}
    return {"name": name, "unit": "1", "kind": "real", "range": [0, 16], "reference": reference}
