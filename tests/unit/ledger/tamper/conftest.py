"""The long history, made once; each test has a copy of its database to tamper with."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "auditing"))

from histories import Intruder, beginning
from saga import Saga

from governance import statements
from governance.statements import Chain


def pytest_collection_modifyitems(items):
    """A verdict of three hundred signed entries takes a second, and there are many."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)


def told_in(path, authorities, first_issuing):
    with beginning(path, authorities, first_issuing) as federation:
        saga = Saga(federation).go()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return saga


@pytest.fixture(scope="session")
def template(authorities, first_issuing, tmp_path_factory):
    path = tmp_path_factory.mktemp("saga") / "ledger.db"
    return path, told_in(path, authorities, first_issuing)


@pytest.fixture(scope="session")
def untouched(template):
    """The history as it is; for looking alone."""
    return Intruder(template[0], template[1].fed.log)


@pytest.fixture
def keys(template):
    return template[1].fed


@pytest.fixture
def ledger(template, tmp_path):
    return Intruder(shutil.copy(template[0], tmp_path / "ledger.db"), template[1].fed.log)


@pytest.fixture
def speak(ledger, keys):
    """Sign as somebody whose keys one has, at the end of its chain in the log as it is now."""

    def speak(kind, body, actor, *signers, told=()):
        said = [statements.read(envelope) for _, _, envelope in ledger.entries()]
        own = [one.chain for one in said if one.key == signers[0].key_id]
        payload = statements.compose(
            kind,
            body,
            actor=actor,
            key=signers[0].key_id,
            chain=own[-1] if own else Chain.START,
            log=keys.log,
            at=said[-1].at - timedelta(minutes=1),
            disclosures=told,
        )
        return statements.sign(payload, signers)

    return speak
