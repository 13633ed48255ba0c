"""Masks of two sites cancel, and what one site sends looks like nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.secagg import masks

SEEDS = st.binary(min_size=32, max_size=32)


def mask(seed, size):
    vector = np.zeros(size, dtype=np.uint32)
    masks.apply(vector, added=[seed], subtracted=[])
    return vector


def test_a_mask_begins_with_the_published_block():
    """NIST CAVP KeySbox, AES-256, the first key: the block of zeros under it."""
    key = bytes.fromhex("c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558")
    assert mask(key, 4).tobytes().hex() == "46f2fb342d6f0ab477476fc501242c5f"


@given(SEEDS, st.integers(1, 50))
def test_a_mask_that_is_added_and_subtracted_is_gone(seed, size):
    vector = np.arange(size, dtype=np.uint32)
    masks.apply(vector, added=[seed], subtracted=[])
    masks.apply(vector, added=[], subtracted=[seed])
    assert vector.tolist() == list(range(size))


@given(st.lists(SEEDS, min_size=1, max_size=4, unique=True))
def test_several_masks_are_those_of_each(seeds):
    vector = np.zeros(20, dtype=np.uint32)
    masks.apply(vector, added=seeds, subtracted=[])
    with np.errstate(over="ignore"):
        each = np.sum([mask(seed, 20) for seed in seeds], axis=0, dtype=np.uint32)
    assert vector.tolist() == each.tolist()


def test_a_mask_goes_on_over_the_parts_it_is_made_in():
    seed, size = b"\x01" * 32, (1 << 18) + 7
    assert mask(seed, size)[:9].tolist() == mask(seed, 9).tolist()
    assert mask(seed, size)[-7:].tolist() != mask(seed, 7).tolist()


def test_a_masked_vector_looks_uniform():
    """χ² of 256 classes of bytes: 99.9999 % lie below 370."""
    vector = np.full(100_000, 7, dtype=np.uint32)
    masks.apply(vector, added=[b"\x05" * 32], subtracted=[])
    counts = np.bincount(np.frombuffer(vector.tobytes(), dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    assert ((counts - expected) ** 2 / expected).sum() < 370


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_seed_of_another_length_is_refused(size):
    with pytest.raises(ValueError, match="32 bytes"):
        mask(bytes(size), 1)
