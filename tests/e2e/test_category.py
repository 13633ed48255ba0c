"""A target of several values through the real programs, at hospitals that lack some of them."""

from __future__ import annotations

import json

import pytest
import standing
from programs import COORDINATOR, call

pytestmark = pytest.mark.long

TRIAGE = {"name": "triage", "kind": "category", "values": ["red", "yellow", "green", "none"]}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """Two rounds of SCAFFOLD at three invented hospitals, without privacy."""
    place = tmp_path_factory.mktemp("category")
    changes = {
        "schedule.rounds": 2,
        "data.target": TRIAGE,
        "quality": {"accept_if": {"metric": "accuracy", "not_worse_than": 0.5}},
        "strategy": {"name": "scaffold"},
        "privacy": "off",
        "round.local": {"steps": 30, "batch": 16},
    }
    agreement = standing.agreement_with(place / "agreement.yaml", changes)
    out = place / "out"
    words = ("--synthetic", "--site-count", "3", "--seed", "1", "--out", out)
    said = call(COORDINATOR, "rehearse", agreement, *words)
    assert said.code in {0, 1}, said.err
    return json.loads((out / "summary.json").read_text(encoding="utf-8")), said


def test_the_figures_of_the_last_round_are_the_accuracy_of_the_final_model(rehearsed):
    summary, _ = rehearsed
    assert [row["state"] for row in summary["rounds"]] == ["closed", "closed"]
    last = summary["rounds"][-1]
    assert set(last["quality"]) == {"accuracy", "log-loss"}
    assert last["quality"]["accuracy"] == pytest.approx(
        summary["pooled"]["accuracy_global"], abs=1e-6
    )


def test_models_are_compared_by_accuracy_and_nothing_is_said_of_auc(rehearsed):
    summary, said = rehearsed
    assert summary["pooled"]["accuracy_naive"] < summary["pooled"]["accuracy_global"]
    assert not [name for name in summary["pooled"] if "auc" in name]
    assert "AUC" not in said.out
    assert summary["ledger"]["proven"]


def test_the_drift_of_the_first_round_is_told(rehearsed):
    summary, _ = rehearsed
    each = [site["drift"] for site in summary["sites"].values()]
    assert min(each) > 0
    mean_square = sum(length**2 for length in each) / len(each)
    assert summary["pooled"]["drift"] == pytest.approx(mean_square**0.5, rel=1e-5)
