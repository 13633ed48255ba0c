"""The design's own agreement, with a filled roster, to be changed by tests."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "vectors" / "agreement"
OBLIGATIONS = "Each hospital keeps its patients' records at home.\n"


@pytest.fixture
def vectors() -> Path:
    return VECTORS


@pytest.fixture
def agreement_text() -> str:
    return (VECTORS / "heart-failure-europe.yaml").read_text()


@pytest.fixture
def changed(tmp_path: Path, agreement_text: str):
    """Return a writer: each pair is a text that stands there once, and its replacement."""

    def write(*pairs: tuple[str, str], name: str = "agreement.yaml") -> Path:
        text = agreement_text
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
        (tmp_path / "obligations.md").write_text(OBLIGATIONS)
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def agreement_file(changed) -> Path:
    return changed()
