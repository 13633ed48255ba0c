"""Where a task's randomness comes from: an AES-256-CTR keystream, and Gaussians made of it.

A torch generator seeded with 64 bits keeps 32 of them on a CPU, few enough to try them all, and
what it draws gives its state away. A keystream under a key of 256 bits that is drawn for one
task and kept nowhere does neither (NIST SP 800-38A, counter mode).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from typing_extensions import override

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY_BYTES: Final = 32
_DRAWS: Final = 4
_UNIT: Final = 2.0**-53


class Keystream:
    """Random numbers that whoever lacks the key cannot tell from true ones.

    It cannot be copied, pickled or shown; the key is dropped as soon as the cipher has it.
    """

    def __init__(self, key: bytes) -> None:
        """Start the stream of a key of 32 bytes, which must never be used for a second task."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return numbers from [0, 1), all 53 bits of each random."""
        stream = np.frombuffer(self._encryptor.update(bytes(8 * count)), dtype="<u8")
        return (stream >> np.uint64(11)).astype(np.float64) * _UNIT

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers, each a sum of four draws, halved.

        A single float draw cannot reach every number near it, which betrays what it was added
        to (Mironov 2012); solving for four draws at once takes 2^159 tries (Holohan and Braghin
        2021, arXiv 2107.10138, section 5.1).
        """
        draws = self._box_muller(_DRAWS * count).reshape(_DRAWS, count)
        total: NDArray[np.float64] = draws.sum(axis=0)
        return total / math.sqrt(_DRAWS)

    def _box_muller(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers (Box and Muller 1958); count must be even.

        Cosine and sine of an angle are made of the tangent of its half, t: (1 - t²) / (1 + t²)
        and 2t / (1 + t²), which takes a tenth of the time. No angle's tangent overflows.
        """
        half = count // 2
        radius = np.sqrt(-2 * np.log1p(-self.uniform(half)))
        t = np.tan(self.uniform(half) * math.pi)
        squared = t * t
        radius /= 1 + squared
        draws: NDArray[np.float64] = np.empty(count)
        np.multiply(radius, 1 - squared, out=draws[:half])
        np.multiply(radius, 2 * t, out=draws[half:])
        return draws

    @override
    def __repr__(self) -> str:
        return "Keystream(secret)"

    @override
    def __reduce__(self) -> str:
        raise TypeError("a keystream stays where it was made")
