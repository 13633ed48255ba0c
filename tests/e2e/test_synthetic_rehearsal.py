"""A rehearsal before any hospital is asked: invented patients, and nothing else is invented."""

from __future__ import annotations

import json

import pytest
import standing
from programs import COORDINATOR, SITE, call, done

ASKED = ("--synthetic", "--site-count", "3", "--skew", "0.5", "--seed", "4")


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """Two rounds among three invented hospitals; the folder, the summary, what was said."""
    place = tmp_path_factory.mktemp("synthetic")
    changes = {"schedule.rounds": 2, "quality.accept_if.not_worse_than": 0.4}
    agreement = standing.agreement_with(place / "agreement.yaml", changes)
    said = call(COORDINATOR, "rehearse", agreement, "--out", place / "out", *ASKED)
    assert said.code in {0, 1}, said.err
    summary = json.loads((place / "out" / "summary.json").read_text(encoding="utf-8"))
    return place / "out", summary, said


@pytest.mark.long
def test_every_figure_says_that_it_is_of_synthetic_patients(rehearsed):
    _, summary, said = rehearsed
    assert summary["synthetic"] is True
    assert summary["federation"].endswith("-synthetic")
    assert summary["sentence"].startswith("On synthetic patients, who do not exist")
    assert said.out.startswith("On synthetic patients held out at each hospital")


@pytest.mark.long
def test_it_ends_with_the_sentence_and_its_exit_code_says_the_same(rehearsed):
    _, summary, said = rehearsed
    ends = " ".join(said.out.split())
    assert ends.endswith(summary["sentence"])
    assert said.code == (0 if summary["gains"] else 1)
    for model in ("naive", "alone_mean", "global", "central"):
        assert 0 <= summary["pooled"][f"auc_{model}"] <= 1


@pytest.mark.long
def test_nothing_is_bypassed(rehearsed):
    _, summary, _ = rehearsed
    assert sorted(summary["sites"]) == ["hospital-1", "hospital-2", "hospital-3"]
    assert [row["state"] for row in summary["rounds"]] == ["closed", "closed"]
    assert summary["ledger"]["proven"]
    assert all(site["epsilon"] > 0 for site in summary["sites"].values())


@pytest.mark.long
def test_the_invented_files_are_left_to_look_at_and_pass_check(rehearsed):
    out, _, _ = rehearsed
    for name in ("hospital-1", "hospital-2", "hospital-3"):
        file = out / "synthetic" / "sites" / name / "site.yaml"
        said = done(SITE, "check", out / "synthetic" / "agreement.yaml", "--site", file)
        assert "meets the agreement's contract" in said


def test_a_detail_of_synthetic_patients_needs_synthetic_patients(tmp_path):
    agreement = standing.DEMO / "agreement.yaml"
    said = call(COORDINATOR, "rehearse", agreement, "--skew", "1", "--out", tmp_path / "out")
    assert said.code == 2
    assert "--synthetic" in said.err
    assert not (tmp_path / "out").exists()
