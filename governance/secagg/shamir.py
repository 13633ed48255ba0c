"""Shamir's secret sharing (Shamir 1979): any `threshold` shares give the secret, fewer nothing.

A secret of 32 bytes is the constant term of a random polynomial over GF(p), p = 2⁵²¹ − 1, so
that every 32 bytes are one element; a share is the polynomial's value y at its owner's x ≥ 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PRIME: Final = 2**521 - 1
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 66
_BITS: Final = 521


@dataclass(frozen=True, slots=True, repr=False)
class Share:
    """The value of a secret's polynomial at somebody's place; 0 ≤ y < p."""

    y: int

    def to_bytes(self) -> bytes:
        """Return it in 66 bytes, the highest first."""
        return self.y.to_bytes(SHARE_BYTES, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Share:
        """Read one, or raise PeerFault for what is no element of the field."""
        y = int.from_bytes(data, "big")
        if len(data) != SHARE_BYTES or y >= PRIME:
            raise PeerFault("a share is no element of the field", rule="bad-share")
        return cls(y)


def split(
    secret: bytes, *, threshold: int, count: int, draw: Callable[[int], bytes]
) -> list[Share]:
    """Return the shares of the places 1 to `count`.

    Args:
        secret: 32 bytes.
        threshold: How many shares give it back, 1 ≤ threshold ≤ count.
        count: How many there are.
        draw: Returns so many random bytes, such as `os.urandom`.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= count:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes, and 1 ≤ threshold ≤ count")
    terms = [int.from_bytes(secret, "big"), *(_element(draw) for _ in range(threshold - 1))]
    return [Share(_value(terms, x)) for x in range(1, count + 1)]


def combine(shares: Mapping[int, Share]) -> bytes:
    """Return the secret that shares, by their places, give at x = 0.

    All of them are used: they must be as many as the threshold or more, and right. What comes
    of wrong ones is for a commitment to the secret to find.

    Raises:
        PeerFault: they give no secret of 32 bytes, so that one of them is wrong.
    """
    value = value_at(shares, 0)
    if value >> (8 * SECRET_BYTES):
        raise PeerFault("the shares give no secret", rule="bad-share")
    return value.to_bytes(SECRET_BYTES, "big")


def value_at(shares: Mapping[int, Share], x: int) -> int:
    """Return the value at x of the polynomial through these shares, by Lagrange's formula."""
    places = tuple(sorted(shares))
    weights = _weights(places, x)
    return sum(w * shares[place].y for w, place in zip(weights, places, strict=True)) % PRIME


def _element(draw: Callable[[int], bytes]) -> int:
    """Draw an element uniformly: 521 bits, again where they are p itself."""
    while True:
        drawn = int.from_bytes(draw(SHARE_BYTES), "big") >> (8 * SHARE_BYTES - _BITS)
        if drawn != PRIME:
            return drawn


def _value(terms: Sequence[int], x: int) -> int:
    value = 0
    for term in reversed(terms):
        value = (value * x + term) % PRIME
    return value


@lru_cache(maxsize=32)
def _weights(places: tuple[int, ...], x: int) -> tuple[int, ...]:
    """Return ∏ (x − j) / (i − j) over the other places j, for each place i."""
    if len(set(places)) != len(places) or not places:
        raise ValueError("shares have different places, and there is one at least")
    return tuple(_weight(i, (j for j in places if j != i), x) for i in places)


def _weight(i: int, others: Iterable[int], x: int) -> int:
    above = below = 1
    for j in others:
        above = above * (x - j) % PRIME
        below = below * (i - j) % PRIME
    return above * pow(below, -1, PRIME) % PRIME
