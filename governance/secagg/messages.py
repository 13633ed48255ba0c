"""What sites say in a run, and the bytes that their agent keys sign (DSSE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance import canonical, dsse
from governance.identity.keys import verify
from governance.secagg.terms import broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.secagg.shamir import Share
    from governance.secagg.terms import Terms
    from protos.words import KeyId

_TYPE: Final = "application/vnd.concilium.secagg.{}+json"


@dataclass(frozen=True, slots=True)
class Keys:
    """Step 1: a site's two public keys for the run, 32 bytes each, signed by its agent key."""

    site: str
    mask: bytes
    share: bytes
    signature: bytes = b""

    def signed_bytes(self, terms: Terms) -> bytes:
        """Return what its agent key signs."""
        return _pae(
            "keys", terms, self.site, {"mask": self.mask.hex(), "share": self.share.hex()}
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """Step 2: a site's shares for each other site, and the commitment to its b_u, signed."""

    site: str
    shares: Mapping[str, bytes]
    commitment: str
    signature: bytes = b""

    def signed_bytes(self, terms: Terms) -> bytes:
        """Return what its agent key signs."""
        return _pae("commitment", terms, self.site, {"commitment": self.commitment})


@dataclass(frozen=True, slots=True)
class Opened:
    """Step 5: shares of b_v for survivors, and of the mask key for those who dropped out."""

    site: str
    own_masks: Mapping[str, Share]
    keys: Mapping[str, Share]


def consistency_bytes(terms: Terms, site: str, survivors: Iterable[str]) -> bytes:
    """Return what a site signs in step 4: U3, with the ledger's head in the terms."""
    return _pae("survivors", terms, site, {"survivors": sorted(survivors)})


def is_signed(data: bytes, signature: bytes, key: KeyId) -> bool:
    """Tell whether a site's agent key signed."""
    return verify(key, signature, data)


def check_agent(terms: Terms, said: Keys | Sealed) -> None:
    """R3: take what a site said in step 1 or 2 if its agent, by the roster, signed it.

    Stops a coordinator that stands between two sites with keys of its own.
    """
    agent = terms.roster.get(said.site)
    if agent is None or not is_signed(said.signed_bytes(terms), said.signature, agent):
        raise broken(f"what {said.site} says is not signed by its agent", rule="secagg-r3")


def _pae(step: str, terms: Terms, site: str, said: Mapping[str, Any]) -> bytes:
    body = {"terms": terms.digest, "site": site, **said}
    return dsse.pae(_TYPE.format(step), canonical.encode(body))
