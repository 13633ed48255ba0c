"""A target of several values trains, is judged and compared, with privacy and without."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from governance import tensors
from site_agent.data.cohort import PatientSet
from site_agent.evaluation import evaluate, predictions
from site_agent.ready import ready
from site_agent.rehearsal_figures import baselines
from site_agent.training import LOSS, read_model, terms_of, train

TARGET = {"name": "ill", "kind": "category", "values": ["none", "left", "right"]}
PLAIN = {"privacy": "off", "round__local": {"steps": 60, "batch": 16}}


def judged(job):
    """Return the figures of all held-out patients."""
    return evaluate(job).figures


def values_by_features(h, patients=400):
    """Rewrite a hospital's file: the value follows from where (u, v) lies."""
    draws = np.random.default_rng(5)
    with h.csv.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ID", "U", "V", "ILL"])
        for patient in range(patients):
            u, v = draws.normal(size=2)
            value = "left" if u < min(v, 0) else "right" if u > 0 else "none"
            rows.writerow([f"P{patient}", u, v, value])
    return h


@pytest.fixture
def clinic(hospital):
    def make(name="a", **changes):
        return values_by_features(hospital(name, data__target=TARGET, **changes))

    return make


def trained(h):
    """Return a model file: the first weights and one task's update."""
    update = tensors.load(train(h.job(), lambda _: None).update)
    first = tensors.load(h.model)
    return h.write_model({name: first[name] + update[f"y/{name}"] for name in first})


def test_update_has_a_row_of_weights_for_each_value(clinic):
    update = tensors.load(train((h := clinic()).job(), lambda _: None).update)
    assert update["y/linear.weight"].shape == (3, 2)
    assert h.agreement.output_width == 3


def test_loss_is_the_log_loss_of_a_softmax_summed():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    said = LOSS["category"](logits, torch.tensor([1.0, 2.0]))
    first = 2 - np.log(np.exp(1) + np.exp(2) + 1)
    assert said.item() == pytest.approx(np.log(3) - first, rel=1e-6)


def test_private_step_clips_each_patients_gradient_of_the_softmax(clinic):
    """The update of one noiseless step of every patient is the mean of clipped gradients."""
    clip = 0.3
    privacy = {
        "clip": clip, "noise_multiplier": 0, "delta": 1e-5, "budget": {"epsilon": 100},
        "metrics": {"exact": {"every": 1}, "minimum": 10},
    }  # fmt: skip
    h = clinic(privacy=privacy, round__local={"steps": 1, "sampling_rate": 1.0})
    update = tensors.load(train(h.job(), lambda _: None).update)
    part = ready(h.spec(), h.document).train
    x = np.concatenate([part.features, np.ones((len(part.features), 1))], axis=1)
    error = np.full((len(x), 3), 1 / 3) - np.eye(3)[part.target.astype(int)]
    gradients = error[:, :, None] * x[:, None, :]
    norms = np.sqrt((gradients**2).sum(axis=(1, 2), keepdims=True))
    clipped = gradients * np.minimum(1, clip / norms)
    divisor = terms_of(h.agreement, 200).mechanism.divisor
    expected = -h.agreement.optimizer.rate * clipped.sum(axis=0) / divisor
    assert update["y/linear.weight"] == pytest.approx(expected[:, :2], abs=1e-5)
    assert update["y/linear.bias"] == pytest.approx(expected[:, 2], abs=1e-5)


@pytest.mark.parametrize(
    "terms", [PLAIN, {"round__local": {"steps": 60, "sampling_rate": 0.25}}]
)
def test_it_learns_with_privacy_and_without(clinic, terms):
    h = clinic(**terms)
    before, after = judged(h.evaluation()), judged(h.evaluation(trained(h)))
    assert after.accuracy() > 0.8 > before.accuracy()
    assert after.log_loss() < before.log_loss()
    assert after.auc() is None
    assert after.count == ready(h.spec(), h.document).held_out.patients


def test_value_of_a_patient_is_that_of_most_records(clinic):
    h = clinic()
    features = np.zeros((4, 2), np.float32)
    part = PatientSet(features, np.array([2, 2, 0, 1], np.float32), np.array([0, 0, 0, 1]), 2)
    scores, labels = predictions(h.agreement, part, read_model(h.model, h.agreement))
    assert labels.tolist() == [2, 1]
    assert scores == pytest.approx(np.full((2, 3), 1 / 3))


def test_hospital_with_few_patients_of_a_value_says_nothing_under_privacy(clinic):
    h = clinic(privacy__metrics={"exact": {"every": 1}, "minimum": 40})
    assert judged(h.evaluation()).withheld == "under-minimum"


def test_hospital_that_lacks_values_says_its_figures_without_privacy(clinic):
    h = clinic(**PLAIN)
    text = h.csv.read_text().replace("left", "none")
    h.csv.write_text(text)
    said = judged(h.evaluation())
    assert said.count == ready(h.spec(), h.document).held_out.patients
    assert not said.withheld


def test_four_ways_are_compared_by_accuracy_alone(clinic, tmp_path):
    h = clinic(**PLAIN)
    site = h.write_site("site-a")
    out = tmp_path / "out.json"
    found = baselines(h.folder / "agreement.json", [site], trained(h), out, seed=1)
    said = found["sites"]["site-a"]
    assert set(said["federated"]) == {"accuracy"}
    assert said["naive"]["accuracy"] < said["federated"]["accuracy"] > 0.8
    assert "positives" not in said["held_out"]
