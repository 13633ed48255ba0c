"""FedAvg, worked by hand on two patients whose optima differ."""

from __future__ import annotations

import pytest


def test_one_round_by_hand(federation):
    ours, _ = federation(name="fedavg")
    ours.round()
    # a stays at its optimum 0; b goes 0 → 2 → 3; the mean is 1.5.
    assert ours.x == 1.5


def test_fixed_point_is_the_one_computed_by_hand_and_wrong(federation):
    ours, _ = federation(name="fedavg")
    for _ in range(25):
        ours.round()
    # K = 2 steps leave r_a = (7/8)² and r_b = (1/2)² of the way to each optimum, so that
    # x = 4(1 − r_b) / ((1 − r_a) + (1 − r_b)) = 64/21; the optimum is 3.2.
    assert ours.x == pytest.approx(64 / 21, abs=1e-5)


def test_patients_weigh(federation):
    sites = {
        "a": federation.site(a=1, m=0, patients=30),
        "b": federation.site(a=4, m=4, patients=10),
    }
    ours, paper = federation(sites, name="fedavg")
    ours.round()
    assert ours.x == 0.75
    for _ in range(4):
        ours.round()
    for _ in range(5):
        paper.round()
    assert ours.x == pytest.approx(float(paper.x), abs=1e-6)


def test_a_site_that_is_out_does_not_pull_the_mean(federation):
    ours, _ = federation(name="fedavg")
    ours.round("b")
    assert ours.x == 3.0


@pytest.mark.parametrize("server_rate", [0.5, 1.0, 1.5])
def test_the_servers_rate_scales_the_step(federation, server_rate):
    ours, _ = federation(name="fedavg", server_rate=server_rate)
    ours.round()
    assert ours.x == 1.5 * server_rate


def test_an_abandoned_round_changes_nothing(federation):
    ours, _ = federation(name="fedavg")
    ours.round()
    before = ours.model
    ours.round(closes=False)
    assert ours.model == before
    assert not ours.controls
