"""The standard error of a figure is what the literature and a simulation say it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from governance.agreement.gate_error import auc_error, gate_error, naive_figure
from governance.agreement.load import load


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
