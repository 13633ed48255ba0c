"""Invented patients keep the contract, differ as asked, and have something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from coordinator.rehearsal import synthetic
from coordinator.rehearsal.synthetic import Invention
from governance.agreement.load import load
from governance.agreement.refusals import objections
from governance.settings import load_site
from protos.errors import Refused
from site_agent.data import contract, table

CONFIGS = Path(__file__).parents[3] / "configs"
EXAMPLE = CONFIGS / "agreement-example" / "agreement.yaml"
DEMO = CONFIGS / "breast-cancer" / "agreement.yaml"


def invent(place, file=DEMO, *, count=None, skew=0.3, seed=None):
    """Write invented hospitals for an agreement; return where they are."""
    agreement = load(file).agreement
    return synthetic.write(file, agreement, place, Invention(count, skew), seed=seed)


def changed(place, changes, of=DEMO):
    said = yaml.safe_load(of.read_text(encoding="utf-8"))
    for path, value in changes.items():
        *steps, last = path.split(".")
        part = said
        for step in steps:
            part = part[step]
        part[last] = value
    file = place / "agreement.yaml"
    file.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
    return file


def files(made):
    return {p.relative_to(made.sites): p.read_bytes() for p in made.sites.rglob("*.csv")}


def checked(made):
    """Return what `concilium-site check` finds at each hospital."""
    agreement = load(made.agreement).agreement
    found = {}
    for file in sorted(made.sites.glob("*/site.yaml")):
        (cohort,) = load_site(file).cohorts.values()
        records = table.read(cohort, agreement)
        found[file.parent.name] = contract.check(records, agreement, cohort), records
    return found


def test_the_same_seed_writes_the_same_patients(tmp_path):
    first = files(invent(tmp_path / "a", count=3, seed=5))
    assert first == files(invent(tmp_path / "b", count=3, seed=5))
    assert first != files(invent(tmp_path / "c", count=3, seed=6))
    assert len(first) == 3


@pytest.mark.slow
@pytest.mark.parametrize("skew", [0, 0.3, 1, 3])
def test_every_hospital_meets_the_contract_however_skewed(tmp_path, skew):
    for name, (found, _) in checked(invent(tmp_path, skew=skew, seed=2)).items():
        assert found.broken == (), name


QUANTITY = {
    "name": "days",
    "kind": "real",
    "unit": "day",
    "range": [0, 365],
    "reference": {"mean": 12, "std": 15},
}
FEW = {
    "name": "answer",
    "kind": "category",
    "values": ["yes", "NO", "none"],
    "missing": {"at_most": 0.5, "fill": "NO"},
}
TRIAGE = {"name": "triage", "kind": "category", "values": ["red", "yellow", "green"]}
NARROW = {
    "name": "sodium",
    "kind": "real",
    "range": [1000.4, 1001.2],
    "reference": {"mean": 1000.5, "std": 0.04},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"data.features": [FEW]},
        {"data.features": [FEW, NARROW]},
        {"data.target": QUANTITY, "data.features": [FEW, NARROW], "quality": {}},
        {"data.target": TRIAGE, "quality": {}},
        {"data.target": {"name": "rare", "kind": "binary", "prevalence": [0.001, 0.004]}},
        {"data.target": {"name": "every", "kind": "binary", "prevalence": [0.97, 1]}},
        {"privacy": "off", "round.local": {"steps": 5, "batch": 32}},
    ],
    ids=[
        "a category",
        "narrow",
        "a quantity",
        "several values",
        "rare",
        "nearly all",
        "no privacy",
    ],
)
def test_contracts_of_other_shapes_are_met_too(tmp_path, changes):
    file = changed(tmp_path, changes)
    for name, (found, _) in checked(invent(tmp_path / "out", file, count=3)).items():
        assert found.broken == (), (name, found.rows)


def test_skew_is_how_much_hospitals_differ(tmp_path):
    def spread(skew):
        told = checked(invent(tmp_path / f"{skew}", count=8, skew=skew, seed=3)).values()
        sizes = [np.log(len(records.patient)) for _, records in told]
        shares = [np.nanmean(records.target.values) for _, records in told]
        means = [np.nanmean(records.features["texture_mean"].values) for _, records in told]
        return np.std(sizes), np.std(shares), np.std(means)

    alike, unlike = spread(0), spread(0.5)
    assert alike[0] == 0
    assert alike[1] < 0.01
    assert all(more > 3 * less for less, more in zip(alike, unlike, strict=True))


def test_the_outcome_can_be_learnt_from_the_features(tmp_path):
    (records,) = [r for _, r in checked(invent(tmp_path, count=1, skew=0, seed=4)).values()]
    values = np.column_stack([column.values for column in records.features.values()])
    reference = [f.reference for f in load(DEMO).agreement.data.features]
    scaled = (values - [r.mean for r in reference]) / [r.std for r in reference]
    scaled = np.nan_to_num(scaled)
    half = len(scaled) // 2
    model = LogisticRegression(C=0.1).fit(scaled[:half], records.target.values[:half])
    scores = model.decision_function(scaled[half:])
    assert roc_auc_score(records.target.values[half:], scores) > 0.7


def test_features_move_together(tmp_path):
    (records,) = [r for _, r in checked(invent(tmp_path, count=1, skew=0, seed=4)).values()]
    values = np.column_stack([c.values for c in records.features.values()])
    whole = values[~np.isnan(values).any(axis=1)]
    beside = np.corrcoef(whole.T)[~np.eye(whole.shape[1], dtype=bool)]
    assert np.abs(beside).max() > 0.3


def test_some_values_are_missing_where_some_may_be(tmp_path):
    for _, records in checked(invent(tmp_path, EXAMPLE, count=2)).values():
        assert 0 < records.features["chol"].missing <= 0.2 * len(records.patient)
        assert records.features["sex"].missing == 0


def test_every_file_says_that_it_is_synthetic(tmp_path):
    made = invent(tmp_path, EXAMPLE)
    agreement = load(made.agreement).agreement
    assert agreement.federation.endswith("-synthetic")
    assert agreement.title.startswith("Synthetic patients: ")
    assert made.agreement.read_text(encoding="utf-8").startswith("# SYNTHETIC")
    for file in made.sites.glob("*/site.yaml"):
        assert file.read_text(encoding="utf-8").startswith("# SYNTHETIC")
        patients = file.parent / "synthetic-patients.csv"
        rows = patients.read_text(encoding="utf-8").splitlines()[1:]
        assert all(row.startswith("synthetic-") for row in rows)


def test_the_roster_can_be_replaced_by_a_number_of_hospitals(tmp_path):
    made = invent(tmp_path, EXAMPLE, count=10)
    sites = load(made.agreement).agreement.sites
    assert set(sites.roster) == {f"hospital-{number}" for number in range(1, 11)}
    assert (sites.ready_at_least, sites.close_at_least) == (8, 8)  # 4 of 5, as before
    assert sorted(path.name for path in made.sites.iterdir()) == sorted(sites.roster)


def test_what_binds_real_hospitals_alone_is_set_aside_and_said(tmp_path):
    told = " ".join(invent(tmp_path, EXAMPLE, count=3).set_aside)
    assert all(word in told for word in ("roster", "valid", "window", "two_for", "requires")), (
        told
    )
    assert invent(tmp_path / "demo", DEMO).set_aside == ()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("file", [EXAMPLE, DEMO], ids=["example", "demonstration"])
def test_any_number_of_hospitals_makes_an_agreement_that_can_be(tmp_path, file, count):
    made = invent(tmp_path, file, count=count)
    assert objections(load(made.agreement)) == []


def test_masks_are_set_aside_and_said_where_they_would_hide_nobody(tmp_path):
    made = invent(tmp_path, DEMO, count=2)
    assert not load(made.agreement).agreement.aggregation.secure
    assert "masks" in " ".join(made.set_aside)


def test_a_gate_that_few_hospitals_would_fail_by_chance_is_widened_and_said(tmp_path):
    made = invent(tmp_path, DEMO, count=3)
    gate = load(made.agreement).agreement.quality.accept_if
    assert gate is not None
    assert gate.not_worse_than == 0.22
    assert "not_worse_than: 0.22" in " ".join(made.set_aside)


def test_skew_beyond_its_range_is_refused():
    with pytest.raises(Refused, match="from 0 to 3"):
        Invention(None, 4)


@pytest.mark.parametrize(
    "words",
    [
        {"synthetic": False, "sites": None, "site_count": 3, "skew": None},
        {"synthetic": False, "sites": None, "site_count": None, "skew": 0.1},
        {"synthetic": True, "sites": Path("sites"), "site_count": None, "skew": None},
    ],
)
def test_synthetic_patients_and_real_files_are_not_asked_for_together(words):
    with pytest.raises(Refused, match="not both"):
        synthetic.asked(**words)
