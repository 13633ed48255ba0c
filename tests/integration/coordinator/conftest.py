"""Federations to act in: a founded and enrolled one is made once, and each test gets a copy."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from governance.ledger.walk import Signatures

sys.path.insert(0, str(Path(__file__).parent))

import berlin
import coordinator_process
import federations
import folders as folders_module
from scripted_site import small_step


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A coordinator, three sites, two operators and an auditor, all enrolled over sockets."""
    made = folders_module.found(tmp_path_factory.mktemp("template"))
    asyncio.run(federations.populate(made))
    return made


@pytest.fixture
def folders(template, tmp_path):
    return folders_module.copied(template, tmp_path)


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
    there = coordinator_process.Apart(folders)
    yield there
    await there.end()
    there.verified()


@pytest_asyncio.fixture
async def amc(fed):
    """A site that uploads, in a federation whose agreement is in force for one round."""
    await fed.in_force(changes={"schedule.rounds": 1})
    return fed.site("amc")


@pytest_asyncio.fixture
async def task(amc):
    """The first task of that site, accepted and reserved for."""
    task = await amc.task()
    await amc.accept(task)
    return task


@pytest.fixture
def update(amc, task):
    """What amc would send: bytes, what they are, and the statement about them."""
    path, blob = amc.update(small_step(amc, task))
    return path.read_bytes(), blob, amc.contribution(task, blob)


@pytest_asyncio.fixture
async def timed(fed):
    """A coordinator at tomorrow's noon in Berlin."""
    return await fed.by(federations.Clock(berlin.tomorrow("12:00")))
