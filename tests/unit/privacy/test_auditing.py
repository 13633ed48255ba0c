"""A lower bound on ε from canaries: published figures, and a mechanism whose ε is known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.privacy.auditing import Guesses, guessed, lower_bound, p_value


@pytest.mark.parametrize(
    ("canaries", "made", "right", "bound"),
    [
        (100, 100, 95, 2.172),
        (1000, 100, 100, 3.465),
        (1000, 100, 95, 2.165),
        (1000, 200, 150, 0.820),
        (1000, 200, 120, 0.158),
        (200, 50, 50, 2.779),
        (400, 100, 60, 0.051),
    ],
)
def test_bounds_are_those_of_the_one_run_audit(canaries, made, right, bound):
    assert lower_bound(Guesses(canaries, made, right), 1e-5) == pytest.approx(bound, abs=1e-3)


def test_without_delta_the_bound_is_higher():
    assert lower_bound(Guesses(1000, 100, 100), 0.0) == pytest.approx(3.493, abs=1e-3)


def test_all_right_by_hand():
    """With δ = 0 all r right has probability qʳ: it is below 0.05 for q < 0.05^(1/r)."""
    q = 0.05 ** (1 / 20)
    assert lower_bound(Guesses(20, 20, 20), 0.0) == pytest.approx(math.log(q / (1 - q)))


@pytest.mark.parametrize("right", [0, 25, 50])
def test_guessing_no_better_than_a_coin_refutes_nothing(right):
    assert lower_bound(Guesses(100, 100, right), 1e-5) == 0.0


@given(st.integers(1, 60), st.data())
def test_p_grows_with_epsilon(made, data):
    right = data.draw(st.integers(0, made))
    low, high = sorted(data.draw(st.tuples(st.floats(0, 8), st.floats(0, 8))))
    guesses = Guesses(100, made, right)
    assert p_value(guesses, low, 0.0) <= p_value(guesses, high, 0.0) + 1e-12


def test_an_answer_that_lies_by_chance_is_not_refuted_and_one_that_never_lies_is():
    """Randomized response tells a bit rightly with probability e^ε/(1 + e^ε), here ε = 2."""
    drawn, epsilon = random.Random(1), 2.0
    inside = [drawn.random() < 0.5 for _ in range(1000)]
    honest = math.exp(epsilon) / (1 + math.exp(epsilon))
    told = [bit == (drawn.random() < honest) for bit in inside]
    bound = lower_bound(guessed([float(bit) for bit in told], inside, made=400), 0.0)
    assert 1.0 < bound <= epsilon
    bare = lower_bound(guessed([float(bit) for bit in inside], inside, made=400), 0.0)
    assert bare > 4.5


def test_where_none_is_guessed_to_have_been_out_only_the_highest_count():
    scores, inside = [3.0, 2.0, 0.0, 0.0, 0.0, 0.0], [True, True, True, False, True, False]
    assert guessed(scores, inside, made=2, outside=0) == Guesses(6, 2, 2)


@pytest.mark.parametrize("made", [0, 3, 8])
def test_an_audit_that_guesses_no_even_number_of_its_canaries_is_refused(made):
    with pytest.raises(ValueError, match="guesses"):
        guessed([0.0] * 6, [True] * 6, made=made)


@pytest.mark.parametrize("numbers", [(10, 5, 6), (10, 11, 5), (10, 5, -1)])
def test_guesses_that_cannot_be_are_refused(numbers):
    with pytest.raises(ValueError, match="guesses"):
        Guesses(*numbers)
