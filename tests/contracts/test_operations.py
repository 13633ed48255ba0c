"""What configs/ offers for running: units that systemd takes, an alert for every event."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from governance.settings import CoordinatorEvent, SiteEvent

CONFIGS = Path(__file__).parents[2] / "configs"
UNITS = sorted((CONFIGS / "systemd").glob("*.service"))
ALERTS = yaml.safe_load((CONFIGS / "prometheus" / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_no_fault_in_a_unit(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    text = unit.read_text()
    text = text.replace("/opt/concilium/bin/", f"{Path(sys.executable).parent}/")
    text = text.replace("User=concilium", "User=root")
    text = re.sub(r"Documentation=.*\n", "", text)
    file = tmp_path / unit.name
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert ours == []


def test_every_event_has_one_alert_with_a_command():
    told = [re.search(r'event="([^"]+)"', rule["expr"]).group(1) for rule in RULES]
    assert sorted(told) == sorted({*get_args(CoordinatorEvent), *get_args(SiteEvent)})
    assert all("concilium-" in rule["annotations"]["command"] for rule in RULES)
