"""What a private step costs is measured beside a plain one, in this process and in a worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.mark.slow
def test_each_kind_of_step_has_a_figure_beside_the_plain_one(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    import steps

    monkeypatch.setattr(steps, "CASES", (((), 8), ((4,), 8)))
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["steps.py", "--steps", "3", "--out", str(out)])
    assert steps.main() == 0
    figures = json.loads(out.read_text())
    kinds = {figure["figure"].removeprefix("a step: ") for figure in figures}
    assert kinds >= {"ours", "Opacus, hooks", "Opacus, ghost clipping"}
    assert len(figures) == 2 * 3 + 1
    assert all(figure["value"] > 0 for figure in figures)
