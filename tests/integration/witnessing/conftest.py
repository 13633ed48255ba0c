"""Five hospitals over real sessions, and a coordinator that shows them what it is told to."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "site_agent"))

import hospital
import two_faces


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return hospital.found(
        tmp_path_factory.mktemp("five"), *two_faces.NAMES, now=datetime.now(UTC)
    )


@pytest_asyncio.fixture
async def five(template, tmp_path):
    """All five in one federation, its agreement in force, connected over TLS."""
    async with two_faces.Federation(template, tmp_path).serving() as federation:
        yield federation
