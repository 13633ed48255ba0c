"""Federations for whole programs: founded once for all tests, and copied for each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import standing


def pytest_itemcollected(item):
    """Count what runs whole programs among the slow tests."""
    item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def patients():
    """The demonstration's hospitals with their patients, as `make demo` makes them."""
    if not (standing.DEMO / "sites" / "lakeside" / "patients.csv").exists():
        standing.done(sys.executable, standing.DEMO / "cohort.py")


@pytest.fixture(scope="session")
def proposed(tmp_path_factory):
    """Three enrolled hospitals that were asked to consent; all programs have ended."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place = shared / "proposed"
    with standing.alone(shared / "proposed.lock"):
        if not (place / "agreement.yaml").exists():
            half = shared / "proposed.half"
            standing.found(half, standing.of_three(shared / "three.yaml"))
            half.rename(place)
            _moved(place, half)
    return place


def _moved(place, former):
    settings = place / "coordinator" / "coordinator.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(str(former.resolve()), str(place.resolve())), "utf-8")


@pytest.fixture
def fed(proposed, tmp_path):
    """A federation of this test's own."""
    fed = standing.copied(proposed, tmp_path / "fed")
    yield fed
    fed.end()


@pytest.fixture(scope="module")
def served(proposed, tmp_path_factory):
    """A federation whose coordinator serves; tests of a module share it."""
    fed = standing.copied(proposed, tmp_path_factory.mktemp("served") / "fed")
    fed.serve()
    yield fed
    fed.end()
