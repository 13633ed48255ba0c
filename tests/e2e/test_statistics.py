"""A rehearsal whose values are scaled by statistics of the hospitals: whole programs, one ε."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from programs import COORDINATOR, LEDGER, SITE, call, done

HEART = Path(__file__).parents[2] / "configs" / "heart" / "agreement.yaml"
ASKED = ("--synthetic", "--site-count", "3", "--seed", "4")


def agreement_in(place: Path) -> Path:
    """Write the heart study's agreement with statistics in place of its references' use."""
    text = HEART.read_text(encoding="utf-8")
    for old, new in (
        ("schedule: {rounds: 5}", "schedule: {rounds: 1}"),
        ("statistics: reference", "statistics: federated"),
        ("minimum_patients: 40", "minimum_patients: 400"),
        ("budget: {epsilon: 1.25}", "budget: {epsilon: 4.0}\n  statistics: {epsilon: 2.0}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = place / "agreement.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def values_of(out: Path, name: str, fill: float | None = None) -> np.ndarray:
    """Return a column of all invented hospitals."""
    found = []
    for file in sorted((out / "synthetic").rglob("*.csv")):
        with file.open(encoding="utf-8") as rows:
            found += [row[name] or fill for row in csv.DictReader(rows)]
    return np.array(found, dtype=float)


@pytest.mark.long
def test_hospitals_train_by_their_own_statistics_and_everybody_can_check_them(tmp_path):
    out = tmp_path / "out"
    said = call(COORDINATOR, "rehearse", agreement_in(tmp_path), "--out", out, *ASKED)
    assert said.code in {0, 1}, said.err
    scales = json.loads((out / "normalisation.json").read_text(encoding="utf-8"))
    for name, fill in (("age", None), ("maximum_heart_rate", None), ("resting_pressure", 130)):
        values, found = values_of(out, name, fill), scales[name]
        width = float(found["high"]) - float(found["low"])
        assert abs(float(found["mean"]) - values.mean()) < 0.05 * width
        assert abs(float(found["std"]) - values.std()) < 0.15 * width

    told = json.loads(
        done(LEDGER, "statistics", "--export", out / "export", "--format", "json")
    )
    rows = [row for row in told["rows"] if row["what"] == "sums for normalisation"]
    assert len(rows) == 3
    assert {row["mechanism"] for row in rows} == {"gaussian"}
    assert all(1.9 < float(row["epsilon"]) <= 2.0 for row in rows)

    site = out / "sites" / "hospital-1" / "site.yaml"
    (spent,) = json.loads(done(SITE, "budget", "--site", site, "--format", "json"))["rows"]
    assert 0 < float(spent["statistics"]) < float(spent["epsilon"])
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["ledger"]["proven"]
    assert summary["sites"]["hospital-1"]["epsilon"] == float(spent["epsilon"])
