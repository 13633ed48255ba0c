"""A sum of updates as integers never wraps, and is the mean within a stated bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.secagg.fixed_point import Scale, decode, encode

VALUES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20)


def total(parts):
    with np.errstate(over="ignore"):
        return np.sum(parts, axis=0, dtype=np.uint32)


def test_values_by_hand():
    """With three digits, 0.5 is 4 and −0.25 is −2; a weight of 3 makes 12 and −6."""
    scale = Scale(sites=2, weight=3, bound=1.0, fraction_bits=3)
    coded, saturated = encode(np.array([0.5, -0.25]), 3, scale)
    assert coded.tolist() == [12, 2**32 - 6]
    assert saturated == 0
    other, _ = encode(np.array([1.0, 1.0]), 1, scale)
    assert decode(total([coded, other]), 4, scale).tolist() == [20 / 8 / 4, 2 / 8 / 4]


@pytest.mark.parametrize(
    ("sites", "weight", "bound", "digits"),
    [(100, 1, 1.0, 24), (20, 256, 1.0, 18), (100, 256, 1.0, 16), (100, 5000, 1.0, 12)],
)
def test_as_many_digits_as_fit(sites, weight, bound, digits):
    assert Scale.finest(sites=sites, weight=weight, bound=bound).fraction_bits == digits


@given(st.integers(1, 100), st.integers(1, 10_000), st.floats(1e-6, 1e6))
def test_one_digit_more_than_the_finest_could_wrap(sites, weight, bound):
    finest = Scale.finest(sites=sites, weight=weight, bound=bound).fraction_bits
    with pytest.raises(ValueError, match="could wrap"):
        Scale(sites, weight, bound, finest + 1)


@given(st.integers(1, 100), st.integers(1, 5000), st.floats(1e-3, 1e3), st.booleans())
def test_the_largest_sum_of_all_does_not_wrap(sites, weight, bound, negative):
    scale = Scale.finest(sites=sites, weight=weight, bound=bound)
    most = np.array([-bound if negative else bound])
    coded, _ = encode(most, weight, scale)
    whole = np.uint32(int(coded[0]) * sites % 2**32).reshape(1)
    mean = decode(whole, sites * weight, scale)
    assert abs(mean[0] - most[0]) <= scale.rounding


@given(st.data(), st.integers(1, 8), st.integers(1, 30))
def test_the_mean_is_within_its_bound(data, sites, size):
    weights = data.draw(st.lists(st.integers(1, 40), min_size=sites, max_size=sites))
    parts = [
        np.array(data.draw(st.lists(st.floats(-1, 1, width=32), min_size=size, max_size=size)))
        for _ in weights
    ]
    scale = Scale.finest(sites=sites, weight=40, bound=1.0)
    coded = [encode(part, w, scale)[0] for part, w in zip(parts, weights, strict=True)]
    mean = decode(total(coded), sum(weights), scale)
    exact = sum(w * part for part, w in zip(parts, weights, strict=True)) / sum(weights)
    assert np.all(np.abs(mean - exact) <= scale.rounding + 1e-15)


def test_a_value_beyond_the_bound_saturates_and_is_counted():
    scale = Scale(sites=2, weight=1, bound=1.0, fraction_bits=4)
    coded, saturated = encode(np.array([3.0, -7.5, 0.5]), 1, scale)
    assert coded.view(np.int32).tolist() == [16, -16, 8]
    assert saturated == 2


@pytest.mark.parametrize("weight", [0, 4])
def test_a_weight_beyond_what_was_agreed_is_refused(weight):
    scale = Scale(sites=2, weight=3, bound=1.0, fraction_bits=3)
    with pytest.raises(ValueError, match="weight"):
        encode(np.zeros(1), weight, scale)


@given(VALUES)
def test_what_is_encoded_in_parts_is_what_is_encoded_whole(values):
    scale = Scale.finest(sites=3, weight=1, bound=1.0)
    long = np.tile(np.array(values, dtype=np.float32), 20_000)[: (1 << 17) + 5]
    coded, _ = encode(long, 1, scale)
    alone, _ = encode(long[-5:], 1, scale)
    assert coded[-5:].tolist() == alone.tolist()
