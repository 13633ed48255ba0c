"""Federations to act in: a founded and enrolled one is made once, and each test gets a copy."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

import federations

from governance.ledger.walk import Signatures


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A coordinator, three sites, two operators and an auditor, all enrolled over sockets."""
    folders = federations.found(tmp_path_factory.mktemp("template"))
    asyncio.run(federations.populate(folders))
    return folders


@pytest.fixture
def folders(template, tmp_path):
    return federations.copied(template, tmp_path)


@pytest_asyncio.fixture
async def fed(folders):
    """A coordinator that serves in this process."""
    here = await federations.Here(folders).start()
    yield here
    await here.end()
    here.verified(Signatures.NONE)  # each is checked with every signature where it matters


@pytest_asyncio.fixture
async def apart(folders):
    """A coordinator as a process; the test starts it."""
    there = federations.Apart(folders)
    yield there
    await there.end()
    there.verified()
