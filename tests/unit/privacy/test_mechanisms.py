"""The noise has the variance that the accountant assumes, and nobody can draw it again."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from governance.privacy.mechanisms import Keystream

KEY = bytes(range(32))


def test_same_key_draws_the_same_and_another_does_not():
    assert (Keystream(KEY).gaussian(10) == Keystream(KEY).gaussian(10)).all()
    assert not (Keystream(KEY).gaussian(10) == Keystream(bytes(32)).gaussian(10)).any()


def test_noise_is_standard_normal():
    z = Keystream(KEY).gaussian(400_000)
    assert z.mean() == pytest.approx(0, abs=5 / 400_000**0.5)
    assert z.var() == pytest.approx(1, abs=0.012)
    assert (z**4).mean() == pytest.approx(3, abs=0.12)
    for limit, share in [(1, 0.6827), (2, 0.9545), (3, 0.9973)]:
        assert (np.abs(z) < limit).mean() == pytest.approx(share, abs=0.004)


def test_neighbouring_draws_are_not_correlated():
    z = Keystream(KEY).gaussian(200_000)
    assert abs((z[:-1] * z[1:]).mean()) < 0.012
    assert abs((z[: len(z) // 2] * z[len(z) // 2 :]).mean()) < 0.016


def test_uniform_numbers_fill_the_unit_interval():
    u = Keystream(KEY).uniform(200_000)
    assert u.min() >= 0
    assert u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.004)


def test_odd_and_empty_counts_are_drawn():
    assert Keystream(KEY).gaussian(7).shape == (7,)
    assert Keystream(KEY).gaussian(0).shape == (0,)


def test_keystream_shows_and_lends_nothing():
    stream = Keystream(KEY)
    assert repr(stream) == "Keystream(secret)"
    with pytest.raises(TypeError):
        pickle.dumps(stream)


def test_short_key_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Keystream(b"short")
