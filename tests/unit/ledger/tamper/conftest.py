"""The long history, made once; each test has a copy of its database to tamper with."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "auditing"))

from histories import beginning
from saga import Saga
from shelves import Databases, Files

from governance import statements
from governance.statements import Chain


def pytest_collection_modifyitems(items):
    """A verdict of three hundred signed entries takes a second, and there are many."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shelf(request, tmp_path_factory):
    """Where the history and its copies lie, on each engine."""
    if request.param == "sqlite":
        return Files(tmp_path_factory.mktemp("saga"))
    return Databases(request.getfixturevalue("postgresql_server"))


@pytest.fixture(scope="session")
def template(shelf, authorities, first_issuing):
    place = shelf.blank()
    with beginning(place, authorities, first_issuing) as federation:
        return place, Saga(federation).go()


@pytest.fixture(scope="session")
def untouched(shelf, template):
    """The history as it is; for looking alone."""
    return shelf.intruder(shelf.copied(template[0]), template[1].fed.log)


@pytest.fixture
def keys(template):
    return template[1].fed


@pytest.fixture
def place(shelf, template):
    """The place of a copy of the history, taken away after the test."""
    place = shelf.copied(template[0])
    yield place
    shelf.drop(place)


@pytest.fixture
def ledger(shelf, place, keys):
    return shelf.intruder(place, keys.log)


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
