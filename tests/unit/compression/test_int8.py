"""int8: the scale, rounding by chance, and rings in which no sum wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.compression.int8 import (
    LARGEST,
    digits_of,
    largest_of,
    ring_bits,
    rounded,
    values_of,
)

BOUNDS = st.floats(1e-12, 1e12)


@given(BOUNDS)
def test_the_scale_is_the_finest_that_holds_the_bound(bound):
    digits = digits_of(bound)
    assert bound <= largest_of(digits)
    assert bound > largest_of(digits + 1)


def test_a_case_worked_by_hand():
    # B = 2: 127 steps of 1/63.5 at most, so of 1/32: f = 5.
    assert digits_of(2.0) == 5
    values = np.array([0.0, 0.05, 0.05, -0.05, 2.0, -9.0])
    # 0.05 is 1.6 steps: up below 0.6, else down; −0.05 is −1.6: −2 + (draw < 0.4).
    draws = np.array([0.0, 0.59, 0.61, 0.39, 0.0, 0.0])
    found = rounded(values, 5, draws)
    assert found.tolist() == [0, 2, 1, -1, 64, -127]
    assert values_of(found, 5).tolist() == [0.0, 0.0625, 0.03125, -0.03125, 2.0, -3.96875]


@given(st.integers(-127 * 16, 127 * 16))
def test_rounding_is_unbiased_over_all_draws(sixteenths):
    # With 16 draws, one in each sixteenth, the mean is exact.
    draws = (np.arange(16) + 0.5) / 16
    found = rounded(np.full(16, sixteenths / 16), 0, draws)
    assert found.astype(float).sum() == sixteenths


@given(st.floats(-1, 1, width=32), BOUNDS, st.floats(0, 1, exclude_max=True))
def test_a_number_within_the_bound_moves_by_a_step_at_most(share, bound, draw):
    digits = digits_of(bound)
    value = share * bound
    found = values_of(rounded(np.array([value]), digits, np.array([draw])), digits)
    assert abs(float(found[0]) - value) <= 2.0**-digits


@given(st.integers(1, 100), st.integers(1, 100_000), st.booleans())
def test_the_largest_sum_does_not_wrap_and_one_bit_less_would(sites, weight, negative):
    bits = ring_bits(sites, weight)
    most = sites * weight * LARGEST * (-1 if negative else 1)
    assert -(2 ** (bits - 1)) <= most < 2 ** (bits - 1)
    assert sites * weight * (2 * LARGEST + 1) >= 2 ** (bits - 1)


@pytest.mark.parametrize(("sites", "weight", "bits"), [(5, 1, 11), (5, 300, 19), (100, 1, 15)])
def test_rings_of_known_federations(sites, weight, bits):
    assert ring_bits(sites, weight) == bits
