"""A rehearsal as its user runs it: five hospitals, real processes, real TLS, real patients."""

from __future__ import annotations

import json
import re
import shlex

import pytest
import standing
from programs import COORDINATOR, LEDGER, call, done


def rehearsed(place, changes, *words):
    """Rehearse the demonstration with changes; return its folder, summary, and what it said."""
    agreement = standing.agreement_with(place / "agreement.yaml", changes)
    out = place / "out"
    sites = standing.DEMO / "sites"
    said = call(COORDINATOR, "rehearse", agreement, "--sites", sites, "--out", out, *words)
    assert said.code in {0, 1}, said.err
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert said.code == (0 if summary["gains"] else 1)
    return out, summary, said


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole demonstration, as `make demo` runs it."""
    return rehearsed(tmp_path_factory.mktemp("whole"), {})


def test_every_hospital_takes_part_in_every_round(whole):
    _, summary, _ = whole
    assert [row["round"] for row in summary["rounds"]] == list(range(1, 11))
    for row in summary["rounds"]:
        assert row["state"] == "closed"
        assert sorted(row["sites_in"]) == sorted(summary["sites"])
        assert row["sites_out"] == {}


def test_the_summary_has_every_documented_field(whole):
    _, summary, _ = whole
    assert summary["federation"] == "breast-cancer-demo"
    assert summary["model_digest"] == summary["rounds"][-1]["model_digest"]
    site = summary["sites"]["north-general"]
    wanted = {"patients", "auc_global", "accuracy_global", "auc_alone", "accuracy_alone"}
    assert wanted | {"epsilon", "delta"} <= site.keys()
    pooled = {"auc_global", "accuracy_global", "auc_alone_mean", "accuracy_alone_mean"}
    assert pooled | {"auc_central", "accuracy_naive"} <= summary["pooled"].keys()
    for row in summary["rounds"]:
        assert row["quality"].keys() <= {"auc", "accuracy", "log-loss", "brier"}
    assert sum(said["patients"] for said in summary["sites"].values()) == 569


def test_the_ledger_is_verified_and_proven_with_the_hospitals_keys(whole):
    out, summary, _ = whole
    assert summary["ledger"]["verified"]
    assert summary["ledger"]["proven"]
    words = ("--export", out / "export", "--trust", out / "trust.keys", "--format", "json")
    said = done(LEDGER, "verify", *words)
    verdict = json.loads(said)
    assert verdict["entries"] == summary["ledger"]["entries"]
    assert verdict["cosignatures"] == 5


def test_an_altered_entry_is_named(whole):
    _, _, said = whole
    assert "altered after it was written" in " ".join(said.out.split())


def test_the_three_commands_to_try_next_work_as_printed(whole):
    _, _, said = whole
    printed = re.findall(r"(?m)^  (operator|administrator|auditor) +(.+)$", said.out)
    answers = {who: done(*shlex.split(command)) for who, command in printed}
    assert "ε" in answers["operator"]
    assert "needle-aspirates" in answers["administrator"]
    assert "north-general" in answers["auditor"]


def test_no_update_is_left_when_the_rounds_are_final(whole):
    out, _, _ = whole
    assert not list((out / "coordinator" / "state" / "spool").rglob("*.safetensors"))


def test_every_hospital_holds_the_final_model(whole):
    out, summary, _ = whole
    for name in summary["sites"]:
        models = out / "sites" / name / "state" / "models"
        assert (models / f"{summary['model_digest']}.safetensors").exists()


def test_the_whole_demonstration_learns_and_leaves_what_its_users_need(whole):
    out, summary, _ = whole
    pooled = summary["pooled"]
    assert pooled["auc_global"] > 0.95
    assert pooled["accuracy_global"] > pooled["accuracy_naive"]
    for site in summary["sites"].values():
        assert 0 < site["epsilon"] < 3
    assert {"coordinator", "sites", "export", "trust.keys", "summary.json"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.long
def test_the_same_seed_gives_the_same_model_twice(tmp_path):
    digests = []
    for name in ("first", "second"):
        _, summary, said = rehearsed(tmp_path / name, {"schedule.rounds": 2}, "--seed", "7")
        assert "fixed-noise-seed" in said.out
        digests.append([row["model_digest"] for row in summary["rounds"]])
    assert digests[0] == digests[1]


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": {"name": "scaffold"}},
        {"strategy": {"name": "fedprox", "mu": 0.1}},
        {"model": {"name": "mlp", "hidden": [8], "seed": 1}},
    ],
    ids=["scaffold", "fedprox", "mlp"],
)
def test_every_strategy_and_model_is_trained_by_all(tmp_path, changes):
    wide = {"schedule.rounds": 2, "quality.accept_if.not_worse_than": 0.5}
    _, summary, _ = rehearsed(tmp_path, {**wide, **changes})
    assert [row["state"] for row in summary["rounds"]] == ["closed", "closed"]
    assert all(len(row["sites_in"]) == 5 for row in summary["rounds"])
    assert summary["ledger"]["proven"]
