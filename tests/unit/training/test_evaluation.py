"""A patient counts once, whatever its records; under the minimum nothing is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from governance import figures
from site_agent.data.cohort import PatientSet
from site_agent.evaluation import evaluate, predictions, scores
from site_agent.ready import ready
from site_agent.training import read_model

GOOD = {
    "linear.weight": np.array([[2.0, -2.0]], np.float32),
    "linear.bias": np.zeros(1, np.float32),
}


def judged(job):
    """Return the figures of all held-out patients."""
    return evaluate(job).figures


def test_figures_are_of_held_out_patients_alone(hospital):
    h = hospital()
    held_out = ready(h.spec(), h.document).held_out
    found = judged(h.evaluation(h.write_model(GOOD)))
    assert found.count == held_out.patients
    assert found.accuracy() > 0.8


def test_auc_is_that_of_the_scores(hospital):
    h = hospital(patients=2000)
    cohort = ready(h.spec(), h.document)
    path = h.write_model(GOOD)
    said, labels = predictions(h.agreement, cohort.held_out, read_model(path, h.agreement))
    exact = roc_auc_score(labels, said)
    assert judged(h.evaluation(path)).auc() == pytest.approx(exact, abs=0.005)


def test_scores_alone_are_those_of_the_evaluation(hospital):
    h = hospital()
    part = ready(h.spec(), h.document).held_out
    state = read_model(h.write_model(GOOD), h.agreement)
    both, _ = predictions(h.agreement, part, state)
    assert (scores(h.agreement, part, state) == both).all()


def test_patients_score_is_the_mean_over_its_records(hospital):
    h = hospital()
    state = read_model(h.write_model(GOOD), h.agreement)
    features = np.array([[1, 0], [-1, 0], [3, 0]], np.float32)
    target = np.array([1, 1, 0], np.float32)
    part = PatientSet(features, target, np.array([0, 0, 1]), 2)
    scores, labels = predictions(h.agreement, part, state)
    assert scores == pytest.approx([0.5, 1 / (1 + np.exp(-6))])
    assert labels.tolist() == [1, 0]


def test_class_under_the_minimum_withholds_all(hospital):
    h = hospital(privacy__metrics={"exact": {"every": 1}, "minimum": 1000})
    found = judged(h.evaluation())
    assert found.withheld == figures.UNDER_MINIMUM
    assert found.count == 0


def test_without_privacy_small_classes_are_withheld_too(hospital):
    h = hospital(patients=24, privacy="off", round__local={"steps": 1, "batch": 4})
    assert judged(h.evaluation()).withheld == figures.UNDER_MINIMUM


def test_real_target_is_judged_in_its_own_unit(hospital):
    target = {"name": "ill", "kind": "real", "range": [0, 200], "unit": "mmHg"}
    target["reference"] = {"mean": 100, "std": 14}
    h = hospital(data__target=target)
    assert judged(h.evaluation()).rmse() == pytest.approx(14, rel=0.3)  # the mean as a guess
    good = {**GOOD, "linear.weight": GOOD["linear.weight"] / 2 * 10 / 14}
    assert judged(h.evaluation(h.write_model(good))).rmse() < 3


def test_patients_who_opted_out_are_not_evaluated(hospital):
    h = hospital()
    everybody = {f"P{number}" for number in range(1000)}
    whole = judged(h.evaluation())
    kept = sorted(everybody)[::2]
    job = dataclasses.replace(h.evaluation(), cohort=h.spec(opt_outs=everybody - set(kept)))
    header, *rows = h.csv.read_text().splitlines()
    without = judged(job)
    left = [row for row in rows if row.split(",")[0] in kept]
    h.csv.write_text("\n".join([header, *left]) + "\n")
    assert without == judged(h.evaluation())
    assert without != whole
