"""Error feedback: nothing is lost, and where it is left out a sum is lost for good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.compression import feedback, int8
from governance.compression.feedback import Limits, send_chosen, send_rounded
from governance.compression.random_k import chosen, seed_of

NUMBERS = st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=40)
FREE = Limits()


def draws_of(seed):
    generator = np.random.default_rng(seed)
    return generator.random


def some(values):
    return np.array(values, dtype=np.float32)


@given(NUMBERS, st.data())
def test_what_is_sent_and_what_stays_are_what_was_wanted(values, data):
    wanted = some(values)
    count = data.draw(st.integers(1, len(values)))
    at = chosen(seed_of("f", 1, "m"), len(values), count)
    limits = data.draw(st.sampled_from([FREE, Limits(bound=1.0), Limits(norm=0.5)]))
    left = wanted.copy()
    sent = send_chosen(left, at, limits)
    left[at] += sent
    np.testing.assert_allclose(left, wanted, rtol=1e-6, atol=1e-6)


@given(NUMBERS, st.integers(0, 9))
def test_so_they_are_where_numbers_are_rounded(values, seed):
    wanted = some(values)
    left = wanted.copy()
    sent = send_rounded(left, 5, draws_of(seed), FREE)
    # Multiples of 2⁻¹⁰ less multiples of 2⁻⁵: exact in float32 but for the smallest numbers.
    np.testing.assert_allclose(left + int8.values_of(sent, 5), wanted, atol=1e-6)
    inside = np.abs(wanted) <= int8.largest_of(5)
    assert np.all(np.abs(left[inside]) <= 2.0**-5)


@given(st.integers(1, 30), st.integers(0, 9))
def test_over_many_rounds_all_sent_and_the_rest_are_all_that_was_made(rounds, seed):
    generator = np.random.default_rng(seed)
    deltas = generator.integers(-512, 513, (rounds, 20)).astype(np.float32) / 256
    for way in ("chosen", "rounded"):
        left, sent = np.zeros(20, np.float32), np.zeros(20)
        for round_, delta in enumerate(deltas):
            left += delta
            if way == "chosen":
                at = chosen(seed_of("f", round_, "m"), 20, 3)
                sent[at] += send_chosen(left, at, Limits(bound=1.5))
            else:
                coded = send_rounded(left, 4, generator.random, Limits(norm=6.0))
                sent += int8.values_of(coded, 4)
        assert (sent + left).tolist() == pytest.approx(deltas.sum(axis=0).tolist(), abs=1e-4)


def test_a_case_worked_by_hand():
    left = some([1.0, -2.0, 4.0, 0.5])
    sent = send_chosen(left, np.array([0, 2]), Limits(bound=3.0))
    assert sent.tolist() == [1.0, 3.0]
    assert left.tolist() == [0.0, -2.0, 1.0, 0.5]
    left += some([1.0, 1.0, 0.0, 0.0])
    assert send_chosen(left, np.array([1, 2]), Limits(bound=3.0)).tolist() == [-1.0, 1.0]
    assert left.tolist() == [1.0, 0.0, 0.0, 0.5]


@given(NUMBERS, st.floats(2.0**-10, 2.0))
def test_what_is_sent_stays_within_the_limits(values, bound):
    at = np.arange(len(values))
    limits = Limits(bound=bound, norm=2 * bound)
    sent = send_chosen(some(values), at, limits).astype(np.float64)
    assert np.all(np.abs(sent) <= bound)
    assert np.sqrt(np.dot(sent, sent)) <= 2 * bound


def test_a_long_vector_is_rounded_in_pieces_with_draws_of_their_own(monkeypatch):
    wanted = np.linspace(-1, 1, 1000, dtype=np.float32)
    whole = send_rounded(wanted.copy(), 6, draws_of(1), FREE)
    pieces = feedback.chunks
    monkeypatch.setattr(feedback, "chunks", lambda n: pieces(n, size_bytes=64))
    assert send_rounded(wanted.copy(), 6, draws_of(1), FREE).tolist() == whole.tolist()


def descended(*, keeps_the_rest, rounds=4000, size=24, count=3):
    """Return how far from its optimum ½(x − a)'H(x − a) is left, by random-k or by its sum."""
    generator = np.random.default_rng(5)
    optimum = generator.normal(size=size)
    slopes = np.linspace(0.5, 2.0, size)
    x, left = np.zeros(size), np.zeros(size, np.float32)
    for round_ in range(rounds):
        left += (-0.02 * slopes * (x - optimum)).astype(np.float32)
        at = chosen(seed_of("f", round_, "m"), size, count)
        x[at] += send_chosen(left, at, FREE)
        if not keeps_the_rest:
            left[:] = 0
    return float(np.abs(x - optimum).max())


def test_a_quadratic_is_descended_to_its_optimum_with_error_feedback():
    assert descended(keeps_the_rest=True) < 1e-5


def drifted(*, keeps_the_rest, rounds=3000):
    """Return x after descending a slope that is always far below half a step of int8."""
    left, x = np.zeros(1, np.float32), 0.0
    for _ in range(rounds):
        wanted = left + np.float32(-0.01 * (x - 1.0))
        coded = send_rounded(wanted, 0, lambda count: np.full(count, 0.5), FREE)
        x += float(int8.values_of(coded, 0)[0])
        left = wanted if keeps_the_rest else np.zeros(1, np.float32)
    return x


def test_rounding_to_the_nearest_step_never_moves_without_error_feedback_and_does_with_it():
    # The optimum is 1; a step of the scale is 1, each update 0.01 of what is left.
    assert drifted(keeps_the_rest=False) == 0.0
    assert drifted(keeps_the_rest=True) == 1.0


def half_kept(*, keeps_the_rest):
    """Descend f(x) = ½‖x − 1‖² in two dimensions where only the first is ever drawn twice."""
    left, x = np.zeros(2, np.float32), np.zeros(2)
    for round_ in range(60):
        left += (0.1 * (1 - x)).astype(np.float32)
        at = np.array([0 if round_ % 10 else 1])
        x[at] += send_chosen(left, at, FREE)
        if not keeps_the_rest:
            left[:] = 0
    return x


def test_a_coordinate_that_is_drawn_seldom_is_not_behind_for_good():
    assert abs(half_kept(keeps_the_rest=True)[1] - 1) < 0.05
    assert half_kept(keeps_the_rest=False)[1] < 0.5
