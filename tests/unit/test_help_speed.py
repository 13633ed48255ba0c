"""`--help` answers at once: nothing heavy is loaded before a verb needs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PROGRAMS: Final = ("concilium-coordinator", "concilium-site", "concilium-ledger")
HEAVY: Final = {
    *("torch", "opacus", "numpy", "scipy", "sklearn", "safetensors", "dp_accounting"),
    *("grpc", "google", "sqlalchemy", "cryptography", "pydantic", "asyncio"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_loads_nothing_heavy(program):
    script = Path(sys.executable).with_name(program)
    found = subprocess.run(
        [sys.executable, "-X", "importtime", script, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(re.findall(r"^import time:.*\| +([a-z_]+)", found.stderr, re.MULTILINE))
    assert "typer" in loaded
    assert not loaded & HEAVY
    assert program in found.stdout
