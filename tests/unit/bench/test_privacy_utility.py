"""What privacy costs a model is measured once, kept, and written as a page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Return the measurement, made small: two ε, two seeds, three choices."""
    monkeypatch.syspath_prepend(str(BENCH))
    import privacy_utility
    from utility import tuning

    monkeypatch.setattr(privacy_utility, "EPSILONS", (8.0, None))
    monkeypatch.setattr(privacy_utility, "TUNING_SEEDS", (101,))
    monkeypatch.setattr(tuning, "TRIED", 2)
    monkeypatch.setattr(privacy_utility, "HERE", tmp_path)
    (tmp_path / "docs").mkdir()
    work = tmp_path / "work"
    argv = ["privacy_utility.py", "--seeds", "1", "2", "--docs", "--work", str(work)]
    monkeypatch.setattr(sys, "argv", argv)
    return privacy_utility


@pytest.mark.slow
def test_each_cell_is_computed_once_and_the_page_is_the_same_again(bench, tmp_path, capsys):
    assert bench.main() == 0
    kept = (tmp_path / "work" / "cells.jsonl").read_text()
    page = (tmp_path / "docs" / "privacy_utility.md").read_text()
    assert len(kept.splitlines()) == 2 * 3 * (1 + 2)  # ε, ways, and a choice with two seeds
    assert bench.main() == 0
    assert (tmp_path / "work" / "cells.jsonl").read_text() == kept
    assert (tmp_path / "docs" / "privacy_utility.md").read_text() == page
    assert "| ∞ |" in page
    assert "569 patients" in capsys.readouterr().out


@pytest.mark.slow
def test_a_cell_of_other_terms_is_computed_anew(bench, tmp_path, monkeypatch):
    assert bench.main() == 0
    kept = tmp_path / "work" / "cells.jsonl"
    lines = kept.read_text().splitlines(keepends=True)
    changed = [
        line.replace('"value": [', '"value": [5, 0.2, 1.0, 0.1, 0.5], "was": [')
        for line in lines
    ]
    kept.write_text("".join(changed))
    assert bench.main() == 0
    assert len(kept.read_text().splitlines()) > len(lines)
