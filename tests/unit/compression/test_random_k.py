"""random-k: who is drawn, how evenly, and what that means for the numbers."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from governance.compression.random_k import chosen, count_of, seed_of, stretches

SEED = seed_of("heart", 3, "ab" * 32)
SIZES = st.integers(1, 300).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


@given(SIZES, st.binary(min_size=32, max_size=32))
def test_one_coordinate_of_each_stretch_is_chosen_in_order(sizes, seed):
    size, count = sizes
    found = chosen(seed, size, count)
    ends = np.cumsum(stretches(size, count))
    assert len(found) == count
    assert ends[-1] == size
    assert np.all(found < ends)
    assert np.all(found >= ends - stretches(size, count))


@given(SIZES)
def test_stretches_differ_by_one_at_most(sizes):
    lengths = stretches(*sizes)
    assert max(lengths) - min(lengths) <= 1


def test_a_case_worked_by_hand():
    # AES-256-CTR's first words under the key 00…1f, each modulo its stretch of 4, 3, 3.
    seed = bytes(range(32))
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(24))
    first, second, third = (int.from_bytes(stream[i : i + 8], "little") for i in (0, 8, 16))
    assert chosen(seed, 10, 3).tolist() == [first % 4, 4 + second % 3, 7 + third % 3]


def test_the_choice_is_pinned():
    assert SEED.hex()[:16] == "675aecd96d19eeb1"
    assert chosen(SEED, 10_000, 5).tolist() == [438, 2331, 4628, 6387, 8407]


@pytest.mark.parametrize(
    "other",
    [
        seed_of("heart2", 3, "ab" * 32),
        seed_of("heart", 4, "ab" * 32),
        seed_of("heart", 3, "cd"),
    ],
)
def test_federation_round_and_model_each_give_another_choice(other):
    assert chosen(SEED, 10_000, 200).tolist() != chosen(other, 10_000, 200).tolist()


def test_the_chosen_times_their_stretch_have_the_mean_of_all():
    # Each of the 3 · 3 · 2 choices is as likely: the mean over them is exact.
    x = np.array([1.0, -2.0, 4.0, 8.0, 0.5, -0.25, 3.0, 7.0])
    lengths = stretches(8, 3)
    assert lengths.tolist() == [3, 3, 2]
    total = np.zeros(8)
    ways = [(a, 3 + b, 6 + c) for a in range(3) for b in range(3) for c in range(2)]
    for way in ways:
        at = list(way)
        total[at] += lengths * x[at]
    assert (total / len(ways)).tolist() == x.tolist()


def test_each_coordinate_is_drawn_as_often_as_its_stretch_says():
    rounds, size, count = 4000, 50, 7
    seen = np.zeros(size)
    for round_ in range(rounds):
        seen[chosen(seed_of("heart", round_, "ab"), size, count)] += 1
    share = np.repeat(1 / stretches(size, count), stretches(size, count))
    deviation = np.sqrt(rounds * share * (1 - share))
    assert np.all(np.abs(seen - rounds * share) < 5 * deviation)


@pytest.mark.parametrize(
    ("keep", "size", "count"), [(0.02, 650, 13), (0.02, 10, 1), (1.0, 9, 9)]
)
def test_so_many_are_kept(keep, size, count):
    assert count_of(keep, size) == count


@pytest.mark.parametrize("count", [0, 11])
def test_a_count_beyond_the_coordinates_is_refused(count):
    with pytest.raises(ValueError, match="cannot be chosen"):
        chosen(SEED, 10, count)
