"""Five hospitals' agents around one coordinator; all but what a worker trains is real."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "site_agent"))
sys.path.insert(0, str(Path(__file__).parents[1] / "coordinator"))
sys.path.insert(0, str(Path(__file__).parent))

import attacking
import folders as folders_module
import masked

from governance.secagg import rules


@pytest.fixture(scope="session")
def five(tmp_path_factory):
    """A coordinator with five hospitals enrolled; each test gets a copy."""
    made = folders_module.found(tmp_path_factory.mktemp("five"))
    asyncio.run(masked.populate(made))
    return made


@pytest_asyncio.fixture
async def fed(five, tmp_path):
    """Five agents that run, and a coordinator that serves."""
    federation = masked.Federation(folders_module.copied(five, tmp_path))
    await federation.start()
    yield federation
    await federation.end()
    federation.verified()


@pytest.fixture
def attacker(monkeypatch):
    """The coordinator's owner, who changes it before it starts."""
    return attacking.Attacker(monkeypatch)


@pytest.fixture
def without(monkeypatch):
    """Take a rule away."""

    def removed(name, instead=lambda *_, **__: None):
        monkeypatch.setattr(rules, name, instead)

    return removed
