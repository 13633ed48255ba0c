"""An agreement of two quantities and a category, whose values are scaled by statistics."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from governance.agreement.load import load

RANGES = {"age": (18, 118), "temperature": (-20, 20)}
_KEY = "ed25519:" + "0" * 63
_TERMS = {
    "agreement": 1,
    "federation": "hearts",
    "title": "A small study",
    "purpose": ["DUO:0000006"],
    "owner": "The hospitals",
    "licence": "CC-BY-4.0",
    "coordinator": {"operator": "The hospitals", "hosted_in": "NL"},
    "valid": {"from": "2026-01-01", "until": "2099-12-31"},
    "sites": {
        "roster": {name: f"{_KEY}{n}" for n, name in enumerate(("amc", "gem", "ucl"))},
        "ready_at_least": 3,
        "close_at_least": 2,
    },
    "operators": {"keys": {"ops": f"{_KEY}9"}},
    "schedule": {"rounds": 2},
    "round": {"deadline": "10m", "local": {"steps": 1, "sampling_rate": 0.01}},
    "data": {
        "statistics": "federated",
        "minimum_patients": 4000,
        "target": {"name": "died", "kind": "binary", "prevalence": [0.1, 0.6]},
        "features": [
            {
                "name": "age",
                "kind": "real",
                "range": [18, 118],
                "reference": {"mean": 62, "std": 12},
            },
            {"name": "sex", "kind": "category", "values": ["f", "m"]},
            {
                "name": "temperature",
                "kind": "real",
                "range": [-20, 20],
                "reference": {"mean": 0, "std": 5},
                "missing": {"at_most": 0.1, "fill": -2},
            },
        ],
    },
    "model": {"name": "linear"},
    "strategy": {"name": "fedavg"},
    "optimizer": {"name": "sgd", "rate": 0.3},
    "privacy": {
        "clip": 1.0,
        "noise_multiplier": 5.0,
        "delta": 1e-5,
        "budget": {"epsilon": 8.0},
        "metrics": {"exact": {"every": 1}},
        "statistics": {"epsilon": 1.0},
    },
    "aggregation": {"secure": False},
}


def still(count):
    """Draw no noise at all."""
    return np.zeros(count)


def agreement_of(*, epsilon=1.0, delta=1e-5, range=None, fill=None, **sections):  # noqa: A002
    """Return the agreement with some of its terms changed."""
    terms = copy.deepcopy(_TERMS) | sections
    terms["privacy"]["statistics"]["epsilon"] = epsilon
    terms["privacy"]["delta"] = delta
    age = terms["data"]["features"][0]
    age["range"] = range or age["range"]
    if fill is not None:
        age["missing"] = {"fill": fill}
    with TemporaryDirectory() as place:
        file = Path(place) / "agreement.yaml"
        file.write_text(yaml.safe_dump(terms, sort_keys=False))
        return load(file).agreement
