"""A history made once, and a copy of it for each test, in the hands of an intruder."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from governance import statements
from governance.ledger import source, store

sys.path.insert(0, str(Path(__file__).parent))

from histories import History, Intruder, beginning


@pytest.fixture(scope="session")
def template(authorities, first_issuing, tmp_path_factory):
    """A history in a database, made once, and whoever has all its keys."""
    path = tmp_path_factory.mktemp("history") / "ledger.db"
    with beginning(path, authorities, first_issuing) as federation:
        return path, History(federation).go()


@pytest.fixture
def history(template):
    return template[1]


@pytest.fixture
def keys(history):
    return history.fed


@pytest.fixture
def ledger(template, tmp_path):
    """A copy of the history, in the hands of an intruder."""
    path = shutil.copy(template[0], tmp_path / "ledger.db")
    return Intruder(path, template[1].fed.log)


@pytest.fixture
def asked(ledger):
    """The history, opened as an auditor opens a database."""
    with ledger.reading() as connection:
        yield connection


@pytest.fixture
def speak(ledger, keys):
    """Sign as somebody whose keys one has, continuing its chain or another."""

    def speak(kind, body, actor, *signers, chain=None, log=None, told=()):
        engine = store.open_engine(f"sqlite:///{ledger.path}")
        try:
            with store.reading(engine) as connection:
                last = store.chain_of(connection, signers[0].key_id)
        finally:
            engine.dispose()
        payload = statements.compose(
            kind,
            body,
            actor=actor,
            key=signers[0].key_id,
            chain=chain or last,
            log=log or keys.log,
            at=keys.now - timedelta(minutes=1),
            disclosures=told,
        )
        return statements.sign(payload, signers)

    return speak


def pinned(path):
    """The last checkpoint with its cosignatures, as an auditor kept it."""
    engine = store.open_engine(f"sqlite:///{path}")
    try:
        with store.reading(engine) as connection:
            return source.split_witnesses(store.latest_checkpoint(connection))
    finally:
        engine.dispose()


@pytest.fixture
def kept(ledger):
    return pinned(ledger.path)
