"""A federation that was just founded, for who asks to join it or calls it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from authorities import federation


@pytest.fixture
def fed(tmp_path):
    return federation(tmp_path / "coordinator", host="localhost")
