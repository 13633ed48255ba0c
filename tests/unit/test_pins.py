"""`constraints.txt` pins all that an installation brings, as installed here, and no more."""

from __future__ import annotations

from importlib.metadata import requires as required
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
EXTRAS = ("site", "coordinator", "postgresql", "dev")


def pins(text: str) -> dict[str, str]:
    lines = (line.partition("==") for line in text.splitlines() if not line.startswith("#"))
    return {canonicalize_name(name): pin for name, _, pin in lines if name}


@pytest.fixture(scope="module")
def brought() -> set[str]:
    """Every distribution that an installation with all extras needs, by name."""
    reached: set[tuple[str, str]] = set()
    waiting = [("concilium", extra) for extra in EXTRAS]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for need in map(Requirement, required(name) or ()):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                found = canonicalize_name(need.name)
                waiting += [(found, inner) for inner in ("", *need.extras)]
    return {name for name, _ in reached} - {"concilium"}


def test_all_that_an_installation_brings_is_pinned_and_nothing_else(brought):
    anywhere, _, graphics = CONSTRAINTS.read_text().partition("\n\n")
    pinned = set(pins(anywhere))
    assert not brought - pinned - set(pins(graphics))
    assert not pinned - brought


def test_what_is_installed_here_is_what_is_pinned(brought):
    expected = pins(CONSTRAINTS.read_text())
    installed = {name: Version(version(name)).public for name in brought}
    assert installed == {name: expected[name] for name in brought}
