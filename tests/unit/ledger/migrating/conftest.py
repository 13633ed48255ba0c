"""A log with a history that is committed, on an engine that is left empty."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from governance.ledger import store
from governance.ledger.copying import Copies

sys.path.insert(0, str(Path(__file__).parent))

from ahead import empty


@pytest.fixture
def own(engine):
    """An empty log; nothing of it stays on a server that others use."""
    yield engine
    if engine.dialect.name == "postgresql":
        empty(engine)


@pytest.fixture
def nothing(own):
    """A database without any table."""
    empty(own)
    return own


@pytest.fixture
def lived(own, authorities, first_issuing):
    """A log on which a federation has lived, down to a signed head."""
    federation_class = sys.modules[type(authorities).__module__].Federation
    with own.begin() as c:
        federation = federation_class(authorities, *first_issuing, c).gather().agree()
        store.sign_checkpoint(c, federation.key("ledger"), federation.log.origin)
    return own


@pytest.fixture
def copies(tmp_path, engine):
    """Where copies go; of a server an empty file stands for one: `snapshot` is tested apart."""
    if engine.dialect.name == "sqlite":
        return Copies(tmp_path / "ledger.db")
    return Copies(tmp_path / "server", lambda _connection, target: target.touch())
