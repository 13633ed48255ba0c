"""A small agreement in YAML: a linear model, no privacy, and what a test changes of it."""

from __future__ import annotations

import copy

import yaml

FEDERATION = "hearts"

_TERMS = {
    "agreement": 1,
    "federation": FEDERATION,
    "title": "A small study",
    "purpose": ["DUO:0000006"],
    "owner": "The hospitals",
    "licence": "CC-BY-4.0",
    "coordinator": {"operator": "The hospitals", "hosted_in": "NL"},
    "valid": {"from": "2026-01-01", "until": "2099-12-31"},
    "sites": {"ready_at_least": 3, "close_at_least": 2, "per_round": "all"},
    "schedule": {"rounds": 2},
    "round": {
        "deadline": "10m",
        "stragglers": "wait",
        "attempts": 3,
        "local": {"steps": 1, "batch": 10},
    },
    "data": {
        "unit": "patient",
        "statistics": "reference",
        "minimum_patients": 1000,
        "target": {"name": "died", "kind": "binary", "prevalence": [0.1, 0.6]},
        "features": [
            {
                "name": name,
                "unit": "1",
                "kind": "real",
                "range": [0, 10],
                "reference": {"mean": 5, "std": 1},
                "missing": {"at_most": 0.05, "fill": 5},
            }
            for name in ("one", "two")
        ],
    },
    "model": {"name": "linear", "seed": 1},
    "strategy": {"name": "fedavg"},
    "optimizer": {"name": "sgd", "rate": 0.3},
    "privacy": "off",
    "aggregation": {"secure": False, "weighting": "declared"},
    "quality": {"visible_to": "own-site"},
}

PRIVATE = {
    "privacy": {
        "clip": 1.0,
        "noise_multiplier": 5.0,
        "delta": 1e-5,
        "budget": {"epsilon": 8.0},
        "metrics": {"exact": {"every": 1}, "minimum": 10},
    },
    "round.local": {"steps": 1, "sampling_rate": 0.01},
}
GATED = {"quality.accept_if": {"metric": "accuracy", "not_worse_than": 0.1}}


def agreement_yaml(sites, operators, changes=()):
    """Return the agreement's file; `sites` and `operators` are names with their keys.

    `changes` maps dotted paths to values; None takes a term out.
    """
    terms = copy.deepcopy(_TERMS)
    terms["sites"]["roster"] = dict(sites)
    terms["operators"] = {"keys": dict(operators)}
    for path, value in dict(changes).items():
        *above, last = path.split(".")
        place = terms
        for name in above:
            place = place.setdefault(name, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return yaml.safe_dump(terms, sort_keys=False)
