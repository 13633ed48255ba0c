"""The heart study's runner, whole, on invented rows of the published form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import standing

RUNNER = standing.ROOT / "bench" / "heart.py"
ROWS = {"cleveland": 120, "hungarian": 120, "switzerland": 50, "va": 80}


def published(place):
    """Write four files of the published form, in which age and heart rate tell the outcome."""
    rng = np.random.default_rng(3)
    place.mkdir()
    for name, count in ROWS.items():
        age = rng.normal(55, 9, count).clip(30, 80).round()
        rate = rng.normal(140, 22, count).clip(70, 200).round()
        odds = (age - 55) / 9 - (rate - 140) / 22
        ill = (3 * odds + rng.logistic(size=count) > 0).astype(int)
        if name == "switzerland":
            ill[:] = 1
            ill[0] = 0
        chol = 0 if name == "switzerland" else 230
        lines = [
            f"{a:.0f},1,{c},130,{chol},0,{e},{r:.0f},0,1.5,?,?,?,{i}"
            for a, c, e, r, i in zip(
                age,
                rng.integers(1, 5, count),
                rng.integers(0, 3, count),
                rate,
                ill,
                strict=True,
            )
        ]
        (place / f"processed.{name}.data").write_text("\n".join(lines) + "\n")
    return place


def test_the_study_without_its_data_measures_nothing_and_says_so():
    done = subprocess.run([sys.executable, RUNNER], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "nothing measured" in done.stderr
