"""A hospital is founded and enrolled once; each test gets a copy with a store of its own."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

import hospital
import posting
import workbench


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return hospital.found(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="session")
def template_of_today(tmp_path_factory):
    """One whose certificates are valid now, for real sockets and processes."""
    return hospital.found(tmp_path_factory.mktemp("today"), now=datetime.now(UTC))


@pytest.fixture
def today(template_of_today, tmp_path):
    made = hospital.Hospital(hospital.copied(template_of_today, tmp_path / "today"))
    yield made
    made.close()


@pytest.fixture
def make(template, tmp_path):
    """Return a maker of hospitals; `settings` are changes of site.yaml by dotted path."""
    made = []

    def one(**settings):
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        place = hospital.copied(template, tmp_path / f"h{len(made)}")
        made.append(hospital.Hospital(place, settings=dotted))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def charite(make):
    return make()


@pytest_asyncio.fixture
async def bench(charite, tmp_path):
    made = workbench.Bench(charite, tmp_path / "log.db")
    yield made
    await made.stop()
    made.log.close()


@pytest.fixture
def program(monkeypatch, capsys):
    """Return a caller of the program: exit code, what it said on each output."""
    from governance import terminal
    from site_agent.cli import app

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["concilium-site", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            terminal.run(app)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "passphrase"
    path.write_bytes(hospital.SECRET + b"\n")
    return path


@pytest_asyncio.fixture
async def post(charite, tmp_path):
    made = posting.Post(charite, tmp_path / "log.db")
    yield made
    made.close()
