"""A site's half of a run as it is kept: a seed, and what the site was brought, word by word.

Every draw follows from the seed, and Ed25519 signs alike, so that a run is played again from
what is kept: after a crash the site says what it had said, byte for byte, and never another
thing under the same keys. Who deletes the seed has forgotten every secret of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from governance.secagg import site

if TYPE_CHECKING:
    from collections.abc import Callable

    from governance.identity.keys import Signer
    from governance.secagg.terms import Terms
    from protos.words_masks import Delivered, Keys, Opened, Sealed, Unmask

SEED_BYTES: Final = 32
_LABEL: Final = b"concilium-secagg/v1 draws "


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """What a run is played again from.

    Attributes:
        terms: As they were checked, once.
        site: This site.
        minimum_sites: The fewest in a sum, by its own file and the agreement.
        seed: 32 bytes, drawn for this run.
        peers: The keys of U1, once they came.
        delivered: What the others of U2 sealed for it, once that came.
        survivors: U3, once it signed that.
    """

    terms: Terms
    site: str
    minimum_sites: int
    seed: bytes
    peers: tuple[Keys, ...] = ()
    delivered: Delivered | None = None
    survivors: tuple[str, ...] = ()


def keys(kept: Kept, signer: Signer) -> Keys:
    """Return what the site says in step 1."""
    return _advertised(kept, signer)[1]


def sealed(kept: Kept, signer: Signer) -> Sealed:
    """Return what it says in step 2; raise PeerFault naming R3 or R6."""
    return _shared(kept, signer)[1]


def masked(kept: Kept, signer: Signer) -> site.Masked:
    """Return its state with the others' shares opened; raise PeerFault naming R5 or R6."""
    assert kept.delivered is not None
    return site.receive(_shared(kept, signer)[0], kept.delivered)


def signature(kept: Kept, signer: Signer) -> bytes:
    """Return its signature over U3; raise PeerFault naming R7."""
    return site.agree(masked(kept, signer), kept.survivors, signer=signer)[1]


def opened(kept: Kept, signer: Signer, asked: Unmask) -> Opened:
    """Return the shares that it gives up; raise PeerFault naming R8 or R10."""
    agreed, _ = site.agree(masked(kept, signer), kept.survivors, signer=signer)
    return site.unmask(
        agreed, asked.signatures, survivors=asked.survivors, dropped=asked.dropped
    )


def _advertised(kept: Kept, signer: Signer) -> tuple[site.Advertised, Keys]:
    draw = _draws(kept.seed, b"keys")
    return site.begin(kept.terms, kept.site, kept.minimum_sites, draw=draw, signer=signer)


def _shared(kept: Kept, signer: Signer) -> tuple[site.Shared, Sealed]:
    state, _ = _advertised(kept, signer)
    return site.share(state, kept.peers, draw=_draws(kept.seed, b"shares"), signer=signer)


def _draws(seed: bytes, step: bytes) -> Callable[[int], bytes]:
    """Return the source of a step's random bytes: a keystream under a key of its own."""
    key = HKDF(hashes.SHA256(), SEED_BYTES, salt=None, info=_LABEL + step).derive(seed)
    stream = Cipher(AES(key), CTR(bytes(16))).encryptor()
    return lambda size: stream.update(bytes(size))
