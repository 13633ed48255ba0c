"""What masks cost is measured on sums that are right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

BENCH = Path(__file__).parents[3] / "bench"


def test_each_step_of_a_masked_sum_has_a_figure(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    import secagg

    monkeypatch.setattr(secagg, "CASES", ((3, 0), (5, 1)))
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["secagg.py", "--parameters", "50", "--out", str(out)])
    assert secagg.main() == 0
    figures = json.loads(out.read_text())
    assert {figure["figure"] for figure in figures} >= {"a mask of one neighbour", "unmask"}
    assert len(figures) == 1 + 2 * 8
