"""A reservation is made before anything is released, and never given back."""

from __future__ import annotations

import math

import pytest

from governance.privacy.accountant import epsilon
from governance.privacy.budget import Budget
from governance.privacy.releases import Release
from protos.errors import Refused

ROUND = Release(0.1, 2.0, 10)
DELTA = 1e-5


def test_reservation_tells_the_cohorts_total():
    budget = Budget((ROUND,), frozenset({"t1"}))
    reservation = budget.reserve("t2", ROUND, 8.0, DELTA)
    assert reservation.epsilon_total == epsilon([ROUND.times(2)], DELTA)
    assert budget.after(reservation).spent(DELTA) == reservation.epsilon_total


def test_task_that_would_pass_the_cap_is_refused_and_told_what_is_left():
    budget = Budget((ROUND.times(5),))
    cap = epsilon([Release(0.1, 2.0, 54)], DELTA)
    with pytest.raises(Refused) as error:
        budget.reserve("t", ROUND, cap, DELTA)
    assert error.value.rule == "budget-exhausted"
    assert "4 of its 10 steps" in error.value.todo


def test_cap_may_be_reached_exactly():
    cap = epsilon([ROUND], DELTA)
    assert Budget().reserve("t", ROUND, cap, DELTA).epsilon_total == cap


def test_one_reservation_pays_for_one_training():
    budget = Budget().after(Budget().reserve("t", ROUND, 8.0, DELTA))
    with pytest.raises(Refused) as error:
        budget.reserve("t", ROUND, 8.0, DELTA)
    assert error.value.rule == "already-reserved"


def test_release_without_noise_passes_no_finite_cap():
    bare = Release(0.1, 0.0, 1)
    with pytest.raises(Refused, match="ε to inf"):
        Budget().reserve("t", bare, 1e9, DELTA)
    assert Budget().reserve("t", bare, math.inf, DELTA).epsilon_total == math.inf


def test_rounds_left_counts_what_was_released_elsewhere():
    fresh, used = Budget(), Budget((Release(0.3, 1.0, 20),))
    assert used.rounds_left(ROUND, 8.0, DELTA) < fresh.rounds_left(ROUND, 8.0, DELTA)
