"""ε of releases: vectors, monotony, and how three accountants agree."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from governance.privacy.accountant import epsilon, format_epsilon, noise_for, rounds_within
from governance.privacy.releases import Release
from protos.errors import Refused

# q, σ, steps and δ, with ε by PLD (dp-accounting), PRV and RDP (both Opacus)
_FILE = Path(__file__).parents[2] / "vectors" / "privacy" / "accountants.json"
VECTORS = [
    pytest.param(row, id=f"q={row['q']} σ={row['sigma']} steps={row['steps']} δ={row['delta']}")
    for row in json.loads(_FILE.read_text("utf-8"))
]


def _ours(row):
    return epsilon([Release(float(row["q"]), float(row["sigma"]), row["steps"])], _delta(row))


def _delta(row):
    return float(row["delta"])


@pytest.mark.parametrize("row", VECTORS)
def test_epsilon_is_that_of_the_vectors(row):
    assert _ours(row) == pytest.approx(float(row["pld"]), abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # of Opacus's accountants: grids at q = 1, orders of RDP
@pytest.mark.parametrize("row", VECTORS)
def test_prv_agrees_and_rdp_is_not_below(row):
    from opacus.accountants import PRVAccountant, RDPAccountant

    prv, rdp = PRVAccountant(), RDPAccountant()
    prv.history = rdp.history = [(float(row["sigma"]), float(row["q"]), row["steps"])]
    assert prv.get_epsilon(_delta(row)) == pytest.approx(_ours(row), abs=0.02)
    assert rdp.get_epsilon(_delta(row)) >= _ours(row)
    assert prv.get_epsilon(_delta(row)) == pytest.approx(float(row["prv"]), abs=1e-3)
    assert rdp.get_epsilon(_delta(row)) == pytest.approx(float(row["rdp"]), abs=1e-3)


def test_sample_agreement_costs_what_the_design_says():
    assert epsilon([Release(0.05, 1.25, 800)], 1e-5) == pytest.approx(6.51, abs=0.01)


def test_nothing_released_costs_nothing():
    assert epsilon([], 1e-5) == 0
    assert epsilon([Release(0.1, 1.0, 0), Release(0.0, 0.0, 9)], 1e-5) == 0


@pytest.mark.parametrize("sigma", [0.0, 0.001])
def test_without_noise_epsilon_is_infinite(sigma):
    assert epsilon([Release(0.1, 1.0, 5), Release(0.1, sigma, 1)], 1e-5) == math.inf


def test_rounds_merge_whatever_their_order_and_split():
    parts = [Release(0.1, 2.0, 20), Release(0.05, 1.5, 10), Release(0.1, 2.0, 30)]
    whole = [Release(0.05, 1.5, 10), Release(0.1, 2.0, 50)]
    assert epsilon(parts, 1e-5) == epsilon(whole, 1e-5)


def test_more_is_never_cheaper():
    first = epsilon([Release(0.1, 2.0, 20)], 1e-5)
    more = epsilon([Release(0.1, 2.0, 21)], 1e-5)
    other = epsilon([Release(0.1, 2.0, 20), Release(0.2, 3.0, 1)], 1e-5)
    assert first < more
    assert first < other


def test_little_noise_is_accounted_and_not_undercounted():
    strong, weak = (
        epsilon([Release(0.1, 0.5, 10)], 1e-5),
        epsilon([Release(0.1, 0.2, 10)], 1e-5),
    )
    assert strong < weak < math.inf


@pytest.mark.parametrize("steps", [1_000_000, 10_000_000])
def test_hopeless_release_costs_more_than_any_cap_and_no_memory(steps):
    assert 1000 < epsilon([Release(1.0, 0.3, steps)], 1e-5) < math.inf
    assert 1000 < epsilon([Release(0.9, 0.5, steps)], 1e-5) < math.inf


def test_many_steps_of_a_small_rate_are_accounted_as_closely_as_others():
    assert epsilon([Release(0.001, 1.0, 10_000_000)], 1e-5) == pytest.approx(25.6, abs=0.1)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5])
def test_delta_outside_its_range_is_refused(delta):
    with pytest.raises(ValueError, match="δ"):
        epsilon([Release(0.1, 1.0, 1)], delta)


def test_rounds_within_is_the_last_round_that_fits():
    a_round, cap = Release(0.1, 2.0, 10), 3.0
    already = [Release(0.1, 2.0, 30)]
    rounds = rounds_within(a_round, already=already, cap=cap, delta=1e-5)
    assert epsilon([*already, a_round.times(rounds)], 1e-5) <= cap
    assert epsilon([*already, a_round.times(rounds + 1)], 1e-5) > cap


def test_no_round_fits_where_the_budget_is_spent_or_noise_missing():
    assert rounds_within(Release(0.1, 0.0, 1), cap=100.0, delta=1e-5) == 0
    spent = [Release(0.1, 1.0, 1000)]
    assert rounds_within(Release(0.1, 1.0, 1), already=spent, cap=1.0, delta=1e-5) == 0


def test_noise_for_a_target_is_the_least_that_keeps_it():
    sigma = noise_for(3.0, sampling_rate=0.05, steps=800, delta=1e-5)
    assert epsilon([Release(0.05, sigma, 800)], 1e-5) <= 3.0
    assert epsilon([Release(0.05, round(sigma - 0.001, 3), 800)], 1e-5) > 3.0
    assert sigma == round(sigma, 3)


def test_noise_for_a_small_target_is_not_lost_in_the_coarseness_of_the_search():
    sigma = noise_for(0.01, sampling_rate=0.05, steps=800, delta=1e-5)
    assert epsilon([Release(0.05, sigma, 800)], 1e-5) <= 0.01
    assert epsilon([Release(0.05, round(sigma - 0.001, 3), 800)], 1e-5) > 0.01


@pytest.mark.slow
def test_noise_for_a_target_is_never_below_what_is_computed_at_all():
    assert noise_for(900.0, sampling_rate=1e-6, steps=1, delta=1e-5) > 0.01


def test_unfittable_target_says_what_is_possible():
    with pytest.raises(Refused, match="lowest possible") as error:
        noise_for(1e-4, sampling_rate=1.0, steps=1000, delta=1e-9)
    assert error.value.rule == "unfittable-target"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (1.00001, "1.0001"), (6.5, "6.5000"), (math.inf, "inf")],
)
def test_epsilon_is_written_rounded_up(value, text):
    assert format_epsilon(value) == text


def test_release_that_costs_next_to_nothing_fits_as_often_as_anybody_asks():
    assert rounds_within(Release(1e-6, 100.0, 20), cap=8.0, delta=1e-5) == 10_000


def test_a_bound_of_very_many_rounds_is_computed_without_a_word_of_the_library(capfd, caplog):
    large = epsilon([Release(0.2, 1.0, 100_000)], 1e-5)
    assert large > 1000
    assert (capfd.readouterr().err, caplog.records) == ("", [])
