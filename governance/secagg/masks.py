"""Masks: keystreams of AES-256 in counter mode, as little-endian uint32 and summed mod 2³².

    y_u = v_u + PRG(b_u) + Σ_{v>u} PRG(s_uv) − Σ_{v<u} PRG(s_uv)

Those of two sites cancel in the sum. A seed is drawn or derived for one attempt and used once,
so that the counter begins at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.ciphers import CipherContext
    from numpy.typing import NDArray

SEED_BYTES: Final = 32
_AT_ONCE: Final = 1 << 18
"""Coordinates at a time, 1 MiB: no mask is ever held whole, and all of it is in the cache."""
_ZEROS: Final = bytes(4 * _AT_ONCE)


def apply(
    vector: NDArray[np.uint32], *, added: Iterable[bytes], subtracted: Iterable[bytes]
) -> None:
    """Add and subtract, in place, the mask of each seed.

    Args:
        vector: One dimension, contiguous; changed.
        added: Seeds of 32 bytes whose masks are added.
        subtracted: Seeds whose masks are subtracted.
    """
    streams: list[tuple[np.ufunc, CipherContext]] = [(np.add, _stream(seed)) for seed in added]
    streams += [(np.subtract, _stream(seed)) for seed in subtracted]
    drawn = bytearray(4 * _AT_ONCE + 15)  # a cipher may want room for one more block
    for start in range(0, len(vector), _AT_ONCE):
        part = vector[start : start + _AT_ONCE]
        size = 4 * len(part)
        mask = np.frombuffer(drawn, dtype="<u4", count=len(part))
        for change, stream in streams:
            stream.update_into(memoryview(_ZEROS)[:size], drawn)
            change(part, mask, out=part)


def _stream(seed: bytes) -> CipherContext:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    return Cipher(AES(seed), CTR(bytes(16))).encryptor()
