"""The ledger's measurements run, and are kept as the list that says what they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"
FIELDS = {"bench", "case", "figure", "unit", "value", "reference", "ratio"}


@pytest.mark.slow
def test_figures_are_appended_to_the_list_each_with_its_reference(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(str(BENCH))
    import ledger

    monkeypatch.setattr(ledger, "SINGLES", 2)
    out = tmp_path / "bench.json"
    out.write_text(json.dumps([dict.fromkeys(FIELDS, "earlier")]))
    asked = ["--rounds", "1", "--engine", "sqlite", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["ledger.py", *asked])
    assert ledger.main() == 0
    earlier, *figures = json.loads(out.read_text())
    assert earlier["bench"] == "earlier"
    assert len(figures) == 28
    assert all(set(figure) == FIELDS for figure in figures)
    assert all(figure["value"] > 0 and figure["reference"] > 0 for figure in figures)
    assert "an inclusion proof" in capsys.readouterr().out
