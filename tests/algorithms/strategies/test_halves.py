"""Both halves of a strategy have the same name, and neither needs torch to be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import coordinator.strategies
import site_agent.strategies


def files(package) -> set[str]:
    return {path.name for path in Path(package.__file__).parent.glob("*.py")}


def test_each_strategy_has_both_halves_under_one_name():
    assert files(coordinator.strategies) == files(site_agent.strategies)
    assert set(coordinator.strategies._RULES) == set(site_agent.strategies._RULES)


def test_the_rules_load_without_torch_and_safetensors():
    modules = (
        "site_agent.strategies, coordinator.strategies, coordinator.aggregate,"
        " coordinator.gate, coordinator.rounds, coordinator.spool, governance.tensors,"
        " governance.figures"
    )
    late = "{'torch', 'opacus', 'safetensors', 'sklearn', 'grpc', 'sqlalchemy'}"
    code = f"import sys, {modules}; print({late} & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"
