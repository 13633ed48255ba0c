"""Packing: what is packed comes back, and nothing hides in between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.compression import bits
from governance.compression.bits import packed, signed, unpacked, words_of
from protos.errors import PeerFault

WIDTHS = st.integers(1, 32)


@given(WIDTHS, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=100))
def test_what_is_packed_comes_back(width, values):
    whole = np.array(values, dtype=np.uint32)
    words = packed(whole, width)
    assert words.shape == (words_of(len(values), width),)
    back = unpacked(words, len(values), width)
    assert back.tolist() == [value % 2**width for value in values]


def test_a_case_worked_by_hand():
    # 12 bits each: abc, def and 123 from the lowest bit on, so 3def_abc reads backwards.
    words = packed(np.array([0xABC, 0xDEF, 0x123], dtype=np.uint32), 12)
    assert [f"{word:08x}" for word in words.tolist()] == ["23defabc", "00000001"]


def test_pieces_of_a_long_vector_fit_together(monkeypatch):
    values = np.arange(5000, dtype=np.uint32) * 977
    whole = packed(values, 11)
    monkeypatch.setattr(bits, "_AT_ONCE", 3)
    assert packed(values, 11).tolist() == whole.tolist()
    assert unpacked(whole, 5000, 11).tolist() == (values % 2048).tolist()


@given(WIDTHS.filter(lambda width: width > 1), st.data())
def test_signed_numbers_come_back_from_any_ring(width, data):
    half = 2 ** (width - 1)
    values = data.draw(st.lists(st.integers(-half, half - 1), min_size=1, max_size=20))
    ring = np.array(values, dtype=np.int64).astype(np.uint32)
    assert signed(ring, width).tolist() == values


@pytest.mark.parametrize("words", [0, 1, 3])
def test_more_words_or_fewer_are_refused(words):
    with pytest.raises(PeerFault, match="more or fewer"):
        unpacked(np.zeros(words, dtype=np.uint32), 5, 12)


def test_bits_of_no_number_are_refused():
    words = packed(np.ones(5, dtype=np.uint32), 12)
    words[-1] |= np.uint32(1 << 31)
    with pytest.raises(PeerFault, match="belong to none"):
        unpacked(words, 5, 12)
