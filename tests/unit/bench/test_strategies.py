"""The study of strategies: how images are dealt, and what counts as holding."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from governance.agreement.load import load
from governance.agreement.refusals import objections
from governance.settings import load_site

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture
def digits(monkeypatch):
    """Return the study's modules, which are no installed package."""
    monkeypatch.syspath_prepend(str(BENCH))
    from digits import hospitals, rehearsals, report, study

    class Modules:
        pass

    Modules.hospitals, Modules.rehearsals = hospitals, rehearsals
    Modules.report, Modules.study = report, study
    return Modules


def dealt(folder):
    found = {}
    for path in sorted(folder.glob("*/patients.csv")):
        with path.open(newline="") as text:
            found[path.parent.name] = [(r["patient"], r["digit"]) for r in csv.DictReader(text)]
    return found


@pytest.mark.parametrize("split", ["dirichlet", "iid"])
def test_every_image_is_in_one_hospital_and_each_has_enough(digits, tmp_path, split):
    digits.hospitals.write(tmp_path, split=split, seed=3)
    found = dealt(tmp_path)
    assert set(found) == set(digits.hospitals.SITES)
    images = [image for part in found.values() for image, _ in part]
    assert len(images) == len(set(images)) == 1797
    assert min(map(len, found.values())) >= digits.hospitals.FEWEST


def test_dirichlet_leaves_hospitals_without_some_labels_and_iid_does_not(digits, tmp_path):
    labels = {}
    for split in ("dirichlet", "iid"):
        digits.hospitals.write(tmp_path / split, split=split, seed=1)
        parts = dealt(tmp_path / split).values()
        labels[split] = [len({label for _, label in part}) for part in parts]
    assert np.mean(labels["dirichlet"]) < 7
    assert min(labels["iid"]) == 10


def test_the_same_seed_deals_the_same(digits, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        digits.hospitals.write(tmp_path / name, split="dirichlet", seed=seed)
    assert dealt(tmp_path / "a") == dealt(tmp_path / "b") != dealt(tmp_path / "c")


@pytest.mark.parametrize("terms", [{"name": "scaffold"}, {"name": "fedprox", "mu": 1.0}])
def test_agreement_and_sites_are_what_the_programs_take(digits, tmp_path, terms):
    path = tmp_path / "agreement.yaml"
    path.write_text(digits.hospitals.agreement(terms, rounds=2))
    document = load(path)
    assert objections(document) == []
    assert document.agreement.output_width == 10
    digits.hospitals.write(tmp_path / "sites", split="iid", seed=1)
    site = load_site(tmp_path / "sites" / "hospital-01" / "site.yaml")
    assert set(site.policy.unsafe) == {"no-isolation", "no-privacy"}


def keep(digits, work, run, **said):
    kept = {"terms": run.terms, "final": 0.9, "central": 0.96, "drift": 1.0, "accuracy": []}
    (work / f"{run.name}.json").write_text(json.dumps(kept | said))


def course(first, rounds):
    """Return a course that reaches the target in this round."""
    return [0.5] * (first - 1) + [0.95] * (rounds - first + 1)


def study_of(digits, work, *, scaffold, more, drift):
    rounds = digits.rehearsals.ROUNDS
    runs = {run.name: run for run in digits.rehearsals.planned([1], digits.rehearsals.PARTS)}
    keep(digits, work, runs["dirichlet-1-fedavg"], accuracy=course(20, rounds), final=0.94)
    took = course(scaffold, rounds)
    keep(digits, work, runs["dirichlet-1-scaffold"], accuracy=took, final=0.94 + more)
    for mu, length in zip(digits.rehearsals.MUS, drift, strict=True):
        keep(digits, work, runs[f"dirichlet-1-fedprox-{mu:g}"], drift=length)
    return digits.study.read(work, [1])


def test_claims_hold_and_fail_at_their_limits(digits, tmp_path):
    good = study_of(digits, tmp_path, scaffold=14, more=0.0101, drift=(4, 3, 2, 1))
    assert [holds for _, holds in good.verdicts()] == [True] * 3
    bad = study_of(digits, tmp_path, scaffold=15, more=0.0099, drift=(4, 3, 3, 1))
    assert [holds for _, holds in bad.verdicts()] == [False] * 3


def test_a_course_that_never_reaches_the_target_counts_one_round_more(digits):
    rounds = digits.rehearsals.ROUNDS
    assert digits.study.rounds_to({"accuracy": [0.9] * rounds}) == rounds + 1
    assert digits.study.rounds_to({"accuracy": [0.9, 0.93, 0.9]}) == 2


def test_a_result_under_other_terms_is_not_taken(digits, tmp_path):
    (run, *_) = digits.rehearsals.planned([1], ["iid"])
    keep(digits, tmp_path, run, terms="0" * 64)
    assert digits.rehearsals.result(run, tmp_path) is None
    keep(digits, tmp_path, run)
    assert digits.rehearsals.result(run, tmp_path)["final"] == 0.9


def test_the_section_is_replaced_and_the_rest_of_the_page_kept(digits, tmp_path):
    page = tmp_path / "studies.md"
    page.write_text("# Studies\n\n## Hearts\n\nBefore.\n")
    found = study_of(digits, tmp_path, scaffold=7, more=0.02, drift=(4, 3, 2, 1))
    digits.report.write_section(found, page)
    first = page.read_text()
    page.write_text(f"{first}\nAfter.\n")
    digits.report.write_section(found, page)
    text = page.read_text()
    assert text.startswith("# Studies\n\n## Hearts\n\nBefore.\n")
    assert text.count("## Strategies") == 1
    assert text.endswith("After.\n")
    assert "| 1 | 20 | 7 | 0.35 |" in text


def test_the_plot_of_the_same_study_has_the_same_bytes(digits, tmp_path):
    found = study_of(digits, tmp_path, scaffold=7, more=0.02, drift=(4, 3, 2, 1))
    for name in ("a.svg", "b.svg"):
        digits.report.plot(found, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
