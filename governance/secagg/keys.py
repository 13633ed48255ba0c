"""What two sites agree on in one attempt, and nobody else: a mask's seed, and a sealed share.

Each site makes two X25519 pairs for an attempt, one for masks and one for shares, and forgets
them with it. Every key that follows is bound by HKDF-SHA256 (RFC 5869) to where it is used:
federation, round, attempt, purpose and both sites. A mask's seed is bound to the digests of the
model and of the task as well: the masks of sites that were sent different models do not cancel
(Pasquini et al. 2022), so that the sum tells nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from typing_extensions import override

from governance.secagg.shamir import SHARE_BYTES, Share
from protos.errors import PeerFault

if TYPE_CHECKING:
    from protos.words import Digest

KEY_BYTES: Final = 32
SEALED_BYTES: Final = 2 * SHARE_BYTES + 16
OWN_MASK: Final = "share of own mask"
KEY: Final = "share of key"
_ONCE: Final = bytes(12)
"""The nonce of a key that seals one message alone."""
_LABEL: Final = "concilium-secagg/v1"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the protocol; no key, share or signature counts in another.

    Attributes:
        federation: The federation's name.
        round: The round's number.
        attempt: Its attempt.
        purpose: `train` or `evaluate`.
        model: SHA-256 of the global model.
        task: SHA-256 of the parameters that all sites were told.
    """

    federation: str
    round: int
    attempt: int
    purpose: str
    model: Digest
    task: Digest

    @property
    def words(self) -> tuple[str, ...]:
        """What says which one it is, without the digests."""
        return (self.federation, str(self.round), str(self.attempt), self.purpose)


class Secret:
    """An X25519 private key of one attempt; never printed, compared, copied or pickled."""

    __slots__ = ("_key",)

    def __init__(self, data: bytes) -> None:
        """Take 32 bytes, drawn for this attempt or given back by shares."""
        if len(data) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = X25519PrivateKey.from_private_bytes(data)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def to_bytes(self) -> bytes:
        """Return the key itself, to be split into shares or kept in the site's store."""
        return self._key.private_bytes_raw()

    def agreed(self, peer: bytes, *info: str) -> bytes:
        """Return 32 bytes that this site and a peer alone know, bound to `info`.

        Raises:
            PeerFault: the peer's key is none, or of small order.
        """
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise PeerFault("a public key is no key", rule="bad-key") from None
        bound = "\n".join((_LABEL, *info)).encode()
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=bound).derive(shared)

    @override
    def __repr__(self) -> str:
        """Say whose it is by its public key alone."""
        return f"<Secret of {self.public.hex()[:8]}>"

    @override
    def __reduce__(self) -> Never:
        """Refuse to be copied to where nobody forgets it."""
        raise TypeError("a secret key is not pickled")


def mask_seed(mine: Secret, peer: bytes, attempt: Attempt, sites: tuple[str, str]) -> bytes:
    """Return the seed s_uv of two sites' common mask, the same for both; 32 bytes."""
    first, second = sorted(sites)
    return mine.agreed(peer, *attempt.words, first, second, "mask", attempt.model, attempt.task)


@dataclass(frozen=True, slots=True, repr=False)
class Shares:
    """A site's two secrets for one peer: of b_u, and of its key for masks."""

    own_mask: Share
    key: Share


def seal(
    shares: Shares, mine: Secret, peer: bytes, attempt: Attempt, *, sender: str, receiver: str
) -> bytes:
    """Return shares that `receiver` alone can open, as `sender`'s, in this attempt alone."""
    key, bound = _sealing(mine, peer, attempt, sender, receiver)
    plain = shares.own_mask.to_bytes() + shares.key.to_bytes()
    return AESGCM(key).encrypt(_ONCE, plain, bound)


def unseal(
    sealed: bytes, mine: Secret, peer: bytes, attempt: Attempt, *, sender: str, receiver: str
) -> Shares:
    """Open what a peer sealed.

    Raises:
        PeerFault: it is another's, for another attempt or receiver, or was changed.
    """
    key, bound = _sealing(mine, peer, attempt, sender, receiver)
    try:
        plain = AESGCM(key).decrypt(_ONCE, sealed, bound)
    except InvalidTag:
        raise PeerFault(f"the shares of {sender} do not open", rule="secagg-r5") from None
    return Shares(Share.from_bytes(plain[:SHARE_BYTES]), Share.from_bytes(plain[SHARE_BYTES:]))


def commitment(own_mask: bytes, attempt: Attempt, site: str) -> str:
    """Return the digest by which a site is held to its b_u; it has 256 random bits."""
    bound = "\n".join((_LABEL, *attempt.words, site, "own mask", "")).encode()
    return hashlib.sha256(bound + own_mask).hexdigest()


def share_digest(
    share: bytes, attempt: Attempt, *, sender: str, receiver: str, of: str
) -> bytes:
    """Return the digest by which who opens a share is held to it; a share has 521 random bits.

    Args:
        share: A share of `sender`'s, as bytes.
        attempt: The run.
        sender: Whose secret it is of.
        receiver: Who holds it, and may have to open it.
        of: OWN_MASK or KEY, which secret it is of.
    """
    bound = "\n".join((_LABEL, *attempt.words, sender, receiver, of, ""))
    return hashlib.sha256(bound.encode() + share).digest()


def share_digests(shares: Shares, attempt: Attempt, *, sender: str, receiver: str) -> bytes:
    """Return the digests of both shares that a site holds of a sender's."""
    return b"".join(
        share_digest(share.to_bytes(), attempt, sender=sender, receiver=receiver, of=of)
        for share, of in ((shares.own_mask, OWN_MASK), (shares.key, KEY))
    )


def _sealing(
    mine: Secret, peer: bytes, attempt: Attempt, sender: str, receiver: str
) -> tuple[bytes, bytes]:
    info = (*attempt.words, sender, receiver, "share")
    return mine.agreed(peer, *info), "\n".join((_LABEL, *info)).encode()
