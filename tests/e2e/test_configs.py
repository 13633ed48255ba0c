"""Each agreement to start from can be rehearsed as it stands, as README says."""

from __future__ import annotations

import json

import pytest
from programs import COORDINATOR, LEDGER, call
from standing import ROOT

AGREEMENTS = sorted(ROOT.glob("configs/*/agreement.yaml"))


@pytest.mark.long
@pytest.mark.parametrize("agreement", AGREEMENTS, ids=lambda path: path.parent.name)
def test_an_agreement_to_start_from_is_rehearsed_to_its_end(agreement, tmp_path):
    out = tmp_path / "out"
    asked = ("--synthetic", "--site-count", "3", "--out", out)
    said = call(COORDINATOR, "rehearse", agreement, *asked)
    assert said.code in {0, 1}, said.err
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert said.code == (0 if summary["gains"] else 1)
    assert {row["state"] for row in summary["rounds"]} == {"closed"}
    verdict = call(
        *(LEDGER, "verify", "--export", out / "export", "--trust", out / "trust.keys"),
    )
    assert verdict.code == 0, verdict
