"""Numbers of r bits side by side in words of 32, the lowest bit first, with nothing between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from protos.errors import PeerFault

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD: Final = 32
_AT_ONCE: Final = 1 << 15
"""Groups of 32 numbers at a time, so that what is worked on does not grow with the model."""


def words_of(count: int, bits: int) -> int:
    """Return how many words so many numbers of so many bits fill."""
    return -(-count * bits // WORD)


def packed(values: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    """Return the lowest bits of each number, packed; what is left of the last word is zero.

    Args:
        values: One dimension.
        bits: r, 1 to 32, of each.
    """
    if bits == WORD:
        return values
    words = np.empty(words_of(values.size, bits), dtype=np.uint32)
    for start in range(0, values.size, WORD * _AT_ONCE):
        some = values[start : start + WORD * _AT_ONCE] & np.uint32((1 << bits) - 1)
        groups = np.zeros((-(-some.size // WORD), WORD), dtype=np.uint32)
        groups.reshape(-1)[: some.size] = some
        at = start // WORD * bits
        whole = _packed(groups, bits).reshape(-1)
        part = words[at : at + whole.size]
        part[:] = whole[: part.size]
    return words


def unpacked(words: NDArray[np.uint32], count: int, bits: int) -> NDArray[np.uint32]:
    """Return so many numbers of so many bits.

    Raises:
        PeerFault: there are more words or fewer, or bits that belong to no number.
    """
    check_spare(words, count, bits)
    if bits == WORD:
        return words
    values = np.empty(count, dtype=np.uint32)
    for start in range(0, count, WORD * _AT_ONCE):
        end = min(start + WORD * _AT_ONCE, count)
        groups = np.zeros((-(-(end - start) // WORD), bits), dtype=np.uint32)
        at = start // WORD * bits
        some = words[at : at + groups.size]
        groups.reshape(-1)[: some.size] = some
        values[start:end] = _unpacked(groups, bits).reshape(-1)[: end - start]
    return values


def check_spare(words: NDArray[np.uint32], count: int, bits: int) -> None:
    """Check that words hold so many numbers of so many bits, and nothing else.

    Raises:
        PeerFault: there are more words or fewer, or bits that belong to no number.
    """
    if words.shape != (words_of(count, bits),):
        raise PeerFault("the packed numbers are more or fewer than agreed", rule="wrong-shape")
    # Bits of no number. Stops one update from having many digests, and hidden content.
    spare = words.size * WORD - count * bits
    if spare and int(words[-1]) >> (WORD - spare):
        raise PeerFault("the packed numbers have bits that belong to none", rule="wrong-shape")


def signed(values: NDArray[np.uint32], bits: int) -> NDArray[np.int32]:
    """Return numbers modulo 2ʳ as those of −2ʳ⁻¹ to 2ʳ⁻¹ − 1; higher bits do not matter."""
    if bits == WORD:
        return values.view(np.int32)
    spare = np.uint32(WORD - bits)
    return (values << spare).view(np.int32) >> np.int32(spare)


def _packed(groups: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    words = np.zeros((len(groups), bits), dtype=np.uint32)
    for place in range(WORD):
        word, low = divmod(place * bits, WORD)
        words[:, word] |= groups[:, place] << np.uint32(low)
        if low + bits > WORD:
            words[:, word + 1] |= groups[:, place] >> np.uint32(WORD - low)
    return words


def _unpacked(groups: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    values = np.empty((len(groups), WORD), dtype=np.uint32)
    for place in range(WORD):
        word, low = divmod(place * bits, WORD)
        values[:, place] = groups[:, word] >> np.uint32(low)
        if low + bits > WORD:
            values[:, place] |= groups[:, word + 1] << np.uint32(WORD - low)
    values &= np.uint32((1 << bits) - 1)
    return values
