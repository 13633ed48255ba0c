"""Plant each import that the layers forbid in a copy of the tree, and see the lint fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("coordinator", "site_agent", "governance", "protos")
SETTINGS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
NAMES: Final = {contract["id"]: contract["name"] for contract in SETTINGS["contracts"]}
STUB: Final = "from protos.concilium.v1 import words_pb2\n"
LATE: Final = "def late():\n    import {}\n"

PLANTS: Final = [
    # The two programs meet on the wire alone, and nothing below knows what is above.
    ("coordinator/planted.py", "import site_agent.jobs\n", {"layers"}),
    ("site_agent/planted.py", "import coordinator.rounds\n", {"layers"}),
    ("coordinator/cli.py", LATE.format("site_agent.jobs"), {"layers"}),
    ("governance/planted.py", "import coordinator.rounds\n", {"layers"}),
    ("governance/planted.py", "from site_agent import jobs\n", {"layers"}),
    ("protos/planted.py", "import governance.consent\n", {"layers"}),
    # The transport is the edges'.
    ("governance/planted.py", "import grpc\n", {"grpc", "rules"}),
    ("governance/planted.py", LATE.format("grpc.aio"), {"grpc", "rules"}),
    ("coordinator/rounds.py", "import grpc\n", {"grpc", "pure"}),
    ("coordinator/conductor.py", "import grpc\n", {"grpc"}),
    ("site_agent/agent.py", "import grpc\n", {"grpc", "pure"}),
    ("site_agent/session.py", "from grpc import aio\n", {"grpc"}),
    ("coordinator/planted.py", "from grpc_health.v1 import health\n", {"grpc"}),
    # Stubs are the codec's and the edges'.
    ("governance/consent.py", STUB, {"stubs"}),
    ("coordinator/conductor.py", STUB, {"stubs"}),
    ("site_agent/agent.py", STUB, {"stubs"}),
    ("protos/words.py", STUB, {"stubs"}),
    # Databases are the stores' and the ledger's.
    ("coordinator/conductor.py", "import sqlalchemy\n", {"sqlalchemy"}),
    ("site_agent/policy.py", "from sqlalchemy import select\n", {"sqlalchemy"}),
    ("governance/consent.py", LATE.format("sqlalchemy"), {"sqlalchemy", "pure"}),
    ("protos/planted.py", "import sqlalchemy\n", {"sqlalchemy"}),
    # Alembic is the scripts' and their runner's, not every store's.
    ("governance/ledger/revisions.py", LATE.format("alembic"), {"alembic"}),
    ("coordinator/store/writer.py", "from alembic import command\n", {"alembic"}),
    # torch is the site's training's and the models', Opacus the site's training's.
    ("coordinator/planted.py", LATE.format("torch"), {"torch"}),
    ("site_agent/worker.py", "import torch\n", {"torch"}),
    ("governance/privacy/planted.py", "import torch\n", {"torch"}),
    ("governance/models/planted.py", "import opacus\n", {"opacus"}),
    ("coordinator/planted.py", "import opacus\n", {"opacus"}),
    ("site_agent/evaluation.py", "from opacus import validators\n", {"opacus"}),
    # What is pure stays pure through others, and so does what the auditor installs.
    ("coordinator/rounds.py", "import coordinator.store.schema\n", {"pure"}),
    ("governance/consent.py", "import governance.ledger.schema\n", {"pure"}),
    ("governance/ledger/planted.py", "import governance.models.catalogue\n", {"auditor"}),
    ("governance/ledger/planted.py", LATE.format("safetensors"), {"auditor"}),
    ("governance/ledger/planted.py", "import sklearn\n", {"auditor"}),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree's Python, with the settings."""
    copy = tmp_path_factory.mktemp("layers")
    for source in (path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        target = copy / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def broken(tree: Path) -> set[str]:
    """Return the ids of the contracts that the lint finds broken in the tree."""
    lint = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(
        [lint],
        cwd=tree,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(
        re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", found.stdout, re.MULTILINE)
    )
    assert set(verdicts) == set(NAMES.values()), found.stdout + found.stderr
    names = {id_ for id_, name in NAMES.items() if verdicts[name] == "BROKEN"}
    assert found.returncode == (1 if names else 0), found.stdout
    return names


def test_the_tree_keeps_its_layers(tree):
    assert broken(tree) == set()


@pytest.mark.parametrize(
    ("path", "code", "contracts"),
    PLANTS,
    ids=[f"{path}: {code.split('import ')[-1].strip()}" for path, code, _ in PLANTS],
)
def test_a_planted_violation_is_seen(tree, path, code, contracts):
    place = tree / path
    before = place.read_text() if place.exists() else None
    place.write_text((before or "") + "\n" + code)
    try:
        assert broken(tree) == contracts
    finally:
        if before is None:
            place.unlink()
        else:
            place.write_text(before)


def test_each_contract_is_broken_by_some_plant():
    assert set().union(*(contracts for _, _, contracts in PLANTS)) == set(NAMES)


def test_not_even_an_annotation_crosses_the_layers():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    for upper, lower in (
        ("coordinator", "site_agent"),
        ("site_agent", "coordinator"),
        ("governance", "coordinator"),
        ("governance", "site_agent"),
        ("protos", "governance"),
    ):
        assert not graph.find_shortest_chains(upper, lower)


def test_the_contracts_name_modules_that_there_are():
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    named = {
        module
        for contract in SETTINGS["contracts"]
        for key in ("source_modules", "allowed_importers", "protected_modules")
        for module in contract.get(key, ())
    }
    assert named <= graph.modules
