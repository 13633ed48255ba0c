"""The standard error of a figure is what the literature and a simulation say it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from governance import noised
from governance.agreement.gate_error import auc_error, gate_error, naive_figure
from governance.agreement.load import load
from governance.agreement.metrics_noise import noise_error


def test_area_under_the_curve_as_in_hanley_and_mcneil_1982():
    assert auc_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.0006)


def test_area_under_the_curve_as_in_a_simulation():
    draws = np.random.default_rng(1)
    # exponential scores, the model of the paper: AUC 0.75 where the rates are 1 to 3
    figures = [
        float(np.mean(draws.exponential(3, 60)[:, None] > draws.exponential(1, 240)[None, :]))
        for _ in range(2000)
    ]
    assert np.mean(figures) == pytest.approx(0.75, abs=0.005)
    assert np.std(figures) == pytest.approx(auc_error(0.75, 60, 240), rel=0.06)


def test_classes_that_are_empty_say_nothing():
    assert auc_error(0.75, 0.4, 100) == 0.5


def test_error_of_the_designs_agreement(agreement_file):
    error = gate_error(load(agreement_file).agreement, "auc")
    assert error.patients == 4 * 2000 * 0.2
    assert error.with_outcome == 328
    assert error.standard_error == pytest.approx(auc_error(0.75, 328, 1272))
    assert error.at_worst == pytest.approx(auc_error(0.75, 16, 1584))


@pytest.mark.parametrize(
    ("metric", "error"), [("accuracy", 0.0125), ("brier", 0.0125), ("log-loss", 0.025)]
)
def test_error_of_means_over_patients(agreement_file, metric, error):
    assert gate_error(load(agreement_file).agreement, metric).standard_error == error


def test_figures_of_a_guess(agreement_file):
    agreement = load(agreement_file).agreement
    share = 0.205
    assert naive_figure(agreement, "auc") == 0.5
    assert naive_figure(agreement, "accuracy") == pytest.approx(1 - share)
    assert naive_figure(agreement, "brier") == pytest.approx(share * (1 - share))
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert naive_figure(agreement, "log-loss") == pytest.approx(entropy)


@pytest.mark.parametrize("metric", ["auc", "accuracy", "log-loss", "brier"])
def test_the_noise_of_figures_moves_a_pooled_metric_as_a_simulation_does(changed, metric):
    noise = "noised: {epsilon_total: 2.0, every: 10}"
    agreement = load(changed(("exact: {every: 1}", noise))).agreement
    layout, deviation = noised.layout_of(agreement), noised.deviation_of(agreement)
    draws = np.random.default_rng(3)
    patients, share, spread = 20_000, 0.205, math.sqrt(2) * 0.6745
    middle = math.log(share / (1 - share))
    labels = draws.random(patients) < share
    logits = draws.normal(middle + (labels - 0.5) * spread**2, spread)
    total = noised.sum_of(1 / (1 + np.exp(-logits)), labels.astype(float), layout)
    told = []
    for _ in range(400):
        # four hospitals, each with noise of its own
        moved = total + 2 * deviation * draws.normal(size=layout.length)
        values = tuple(np.rint(16 * moved).astype(int).tolist())
        said = noised.Noised("binary", "1", values)
        told.append(noised.figures_of(said, layout).metric(metric))
    expected = noise_error(agreement, metric, patients=patients, share=share, auc=0.75)
    assert np.std(told) == pytest.approx(expected, rel=0.25)


def test_noise_counts_twice_when_two_models_are_compared(changed):
    noise = "noised: {epsilon_total: 2.0, every: 10}"
    exact, with_noise = (
        gate_error(load(path).agreement, "auc")
        for path in (changed(), changed(("exact: {every: 1}", noise), name="noised.yaml"))
    )
    assert exact.noise == 0
    one = noise_error(
        load(changed(("exact: {every: 1}", noise))).agreement,
        "auc", patients=exact.patients, share=0.205, auc=0.75,
    )  # fmt: skip
    assert with_noise.noise == pytest.approx(math.sqrt(2) * one)
    assert with_noise.standard_error == pytest.approx(
        math.hypot(exact.standard_error, with_noise.noise)
    )
