"""A rehearsal of a model that comes as a wheel: approved by each hospital, run confined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import COORDINATOR, call, refused

from site_agent import wheels

HEART = Path(__file__).parents[2] / "configs" / "heart" / "agreement.yaml"
CODE = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 3), nn.Tanh(), nn.Linear(3, outputs))
"""
SHAPES = {"0.weight": [3, 18], "0.bias": [3], "2.weight": [1, 3], "2.bias": [1]}


@pytest.fixture
def agreed(tmp_path):
    """Return a wheel, and an agreement that names it."""
    import zipfile

    wheel = tmp_path / "own.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("concilium_model.py", CODE)
    named = [f"{{name: {name}, shape: {shape}}}" for name, shape in SHAPES.items()]
    model = f"{{name: own, wheel: {wheels.digest_of(wheel)}, parameters: [{', '.join(named)}]}}"
    text = HEART.read_text(encoding="utf-8")
    for old, new in (
        ("schedule: {rounds: 5}", "schedule: {rounds: 1}"),
        ("model: {name: linear, seed: 1}", f"model: {model}"),
        ("minimum_patients: 40", "minimum_patients: 100"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "agreement.yaml"
    path.write_text(text, encoding="utf-8")
    return wheel, path


def rehearse(tmp_path, path, *words):
    asked = ("--synthetic", "--site-count", "3", "--out", tmp_path / "out", *words)
    return call(COORDINATOR, "rehearse", path, *asked)


@pytest.mark.long
def test_a_wheels_model_is_rehearsed_in_confined_workers(agreed, tmp_path):
    wheel, path = agreed
    said = rehearse(tmp_path, path, "--wheel", wheel)
    assert said.code in {0, 1}, said.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert "no-isolation" not in summary["unsafe"]
    assert [row["state"] for row in summary["rounds"]] == ["closed"]
    assert len(summary["rounds"][0]["sites_in"]) == 3
    assert 0 <= summary["pooled"]["auc_central"] <= 1
    assert summary["ledger"]["proven"]


def test_a_rehearsal_without_the_wheel_is_refused_before_anything_is_made(agreed, tmp_path):
    _, path = agreed
    refused(rehearse(tmp_path, path), "--wheel FILE")
    assert not (tmp_path / "out").exists()
