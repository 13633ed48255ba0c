"""Attacks that work on a bare update, and fail on what leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adversary import campaign, views
from adversary.campaign import BARE, MASKED, MEMBER, SUM
from adversary.membership import lira

from governance.privacy.mechanisms import KEY_BYTES, Keystream

WORLDS = 9
SMALL = ("eastfield", "hillcrest", "lakeside")
"""Three of the five hospitals: the fewest that are summed under masks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module", params=[False, True], ids=["privacy-off", "privacy-on"])
def private(request):
    return request.param


@pytest.fixture(scope="module")
def attacked(folder, private):
    """The agreement and the patients of three hospitals of the demonstration."""
    torch.set_num_threads(1)
    agreement, parts = campaign.demo(folder, private=private, rounds=1)
    return agreement, {name: parts[name] for name in SMALL}


@pytest.fixture(scope="module")
def read_off(attacked):
    return campaign.inverted(*attacked, trials=25, seed="test")


def test_a_record_is_read_exactly_off_a_bare_update_and_not_off_a_noised_one(read_off, private):
    if private:
        assert abs(read_off[BARE].mean) < 0.15
        assert read_off[BARE].exact == 0
    else:
        assert read_off[BARE].exact == 1


def test_a_masked_vector_tells_no_record_even_without_noise(read_off):
    assert abs(read_off[MASKED].mean) < 0.15
    assert read_off[MASKED].exact == 0


@pytest.mark.parametrize("view", [SUM, MEMBER])
def test_a_sum_seldom_tells_a_record_exactly_and_with_noise_none_at_all(
    read_off, private, view
):
    assert read_off[view].exact < 0.2
    if private:
        assert read_off[view].exact == 0
        assert abs(read_off[view].mean) < 0.15


@pytest.fixture(scope="module")
def members(attacked):
    agreement, parts = attacked
    seen = (BARE, MASKED, MEMBER)
    return campaign.membership(agreement, parts, count=WORLDS, seed="test", seen=seen)


@pytest.mark.slow
def test_a_bare_update_tells_who_was_in_and_a_noised_one_does_not(members, private):
    assert members[BARE].auc < 0.55 if private else members[BARE].auc > 0.65


@pytest.mark.slow
def test_a_masked_vector_does_not_tell_who_was_in(members):
    assert 0.45 < members[MASKED].auc < 0.55


@pytest.mark.slow
def test_a_member_learns_who_was_in_elsewhere_from_global_models_unless_they_are_noised(
    members, private
):
    assert members[MEMBER].auc < 0.56 if private else members[MEMBER].auc > 0.65


@pytest.mark.slow
def test_hits_stay_within_what_epsilon_allows(members, private):
    """TPR ≤ e^ε FPR + δ, with what chance adds over some thousand patients."""
    if private:
        assert members[BARE].hits <= np.exp(campaign.EPSILON) * 0.01 + 0.02


def test_an_attack_that_knows_nothing_is_at_chance():
    draws = np.random.default_rng(1)
    inside = draws.random((20, 300)) < 0.5
    assert lira(draws.normal(size=(20, 300)), inside).auc == pytest.approx(0.5, abs=0.03)
    assert lira(inside + draws.normal(size=(20, 300)), inside).auc > 0.7


def test_masks_of_a_pair_cancel_and_the_sum_is_the_mean():
    draws = np.random.default_rng(2)
    updates = {name: draws.normal(size=500) for name in "abcd"}
    weights = {"a": 10, "b": 20, "c": 30, "d": 40}
    sent, mean = views.masked(updates, weights, Keystream(bytes(KEY_BYTES)))
    expected = sum(updates[name] * weights[name] for name in updates) / 100
    assert mean == pytest.approx(expected, abs=1e-5)
    for name, vector in sent.items():
        assert abs(np.corrcoef(vector, updates[name])[0, 1]) < 0.15


def test_a_member_that_takes_its_part_off_has_the_mean_of_the_others():
    updates = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 5.0]), "c": np.array([0.0, 1.0])}
    weights = {"a": 10, "b": 20, "c": 30}
    mean = (10 * updates["a"] + 20 * updates["b"] + 30 * updates["c"]) / 60
    rest = views.others(mean, updates["a"], weights, "a")
    assert rest == pytest.approx((20 * updates["b"] + 30 * updates["c"]) / 50)
