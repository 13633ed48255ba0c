"""Hospitals whose workers are confined train as others do."""

from __future__ import annotations

import pytest
import standing
from standing import SITES

pytestmark = pytest.mark.long


def confine(said):
    """Let a hospital's own file ask for a confined worker."""
    said["resources"]["isolation"] = "required"
    said["policy"]["unsafe"] = [
        term for term in said["policy"]["unsafe"] if term != "no-isolation"
    ]


@pytest.fixture
def fed(tmp_path):
    agreement = standing.of_three(tmp_path / "agreement.yaml", **{"round.local.steps": 1})
    standing.found(tmp_path / "fed", agreement)
    fed = standing.Federation(tmp_path / "fed")
    for name in SITES:
        standing.edited(fed.site_file(name), confine)
    yield fed
    fed.end()


def test_a_federation_of_confined_workers_trains_to_its_end(fed):
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.closed() == 2, why="for both rounds")
    assert fed.verified()
