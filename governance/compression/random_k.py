"""random-k: of an update's coordinates few are sent, the same few by every site.

Cut the P coordinates into k stretches of like length and take one of each, drawn from a public
seed (sampling by strata: Cochran 1977, chapter 5). Each coordinate of a stretch of m is sent
with probability 1/m, so that

    E[m · sent] = x,    E‖x − sent‖² = Σ (1 − 1/m) x²

as with k drawn from all of P, but in order, exactly k of them, and in time that grows with k
alone. All sites send the same ones, so that masks cancel and no index betrays what is in it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEED: Final = "concilium-random-k/v1"


def count_of(keep: float, size: int) -> int:
    """Return k, how many of so many coordinates are sent: the nearest number, at least one."""
    return min(max(round(keep * size), 1), size)


def seed_of(federation: str, round_: int, model: str) -> bytes:
    """Return a round's public seed: SHA-256 of a label and what is said, a line each.

    Its attempts have one seed, so that an update that is sent again fits those trained anew.

    Args:
        federation: Its name.
        round_: The round's number.
        model: SHA-256 of the global model that the round starts from.
    """
    return hashlib.sha256(f"{_SEED}\n{federation}\n{round_}\n{model}\n".encode()).digest()


def chosen(seed: bytes, size: int, count: int) -> NDArray[np.int64]:
    """Return the coordinates that are sent, in ascending order.

    Args:
        seed: 32 bytes, the same at every site and at the coordinator.
        size: P, how many there are.
        count: k, 1 to P.
    """
    if not 1 <= count <= size:
        raise ValueError(f"{count} of {size} coordinates cannot be chosen")
    starts = _starts(size, count)
    lengths = np.diff(starts, append=size)
    return starts + (_words(seed, count) % lengths.astype(np.uint64)).astype(np.int64)


def stretches(size: int, count: int) -> NDArray[np.int64]:
    """Return m of each stretch, in order: they differ by one at most."""
    return np.diff(_starts(size, count), append=size)


def _starts(size: int, count: int) -> NDArray[np.int64]:
    length, longer = divmod(size, count)
    place = np.arange(count, dtype=np.int64)
    return place * length + np.minimum(place, longer)


def _words(seed: bytes, count: int) -> NDArray[np.uint64]:
    """Return 64 bits for each stretch; a remainder by m is off by m/2⁶⁴ at most."""
    stream = Cipher(AES(seed), CTR(bytes(16))).encryptor()
    return np.frombuffer(stream.update(bytes(8 * count)), dtype="<u8")
