"""The design's own agreement, with a filled roster, to be changed by tests."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "vectors" / "agreement"
OBLIGATIONS = "Each hospital keeps its patients' records at home.\n"


@pytest.fixture
def agreement_file(tmp_path: Path) -> Path:
    text = (VECTORS / "heart-failure-europe.yaml").read_text()
    (tmp_path / "obligations.md").write_text(OBLIGATIONS)
    path = tmp_path / "agreement.yaml"
    path.write_text(text)
    return path
