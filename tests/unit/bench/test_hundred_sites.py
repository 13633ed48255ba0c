"""What a masked round of many hospitals costs is measured on a sum that is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import structlog

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(autouse=True)
def logs():
    """Leave logging as it was."""
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)


@pytest.mark.slow
def test_each_step_of_a_round_that_one_hospital_is_lost_in_has_its_seconds(
    monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "path", [*sys.path])
    import hundred_sites

    out = tmp_path / "bench.json"
    asked = ["--sites", "4", "--lost", "1", "--parameters", "50", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["hundred_sites.py", *asked])
    assert hundred_sites.main() == 0
    figures = {figure["figure"]: figure for figure in json.loads(out.read_text())}
    assert set(figures) > {*hundred_sites.STEPS.values(), "the round"}
    assert all(figure["value"] > 0 < figure["reference"] for figure in figures.values())
