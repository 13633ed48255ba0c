"""The bytes that agent keys sign of what sites say in a run (DSSE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from governance import canonical, dsse
from governance.identity.keys import verify
from governance.secagg.terms import broken
from protos.words_masks import Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.secagg.terms import Terms
    from protos.words import KeyId
    from protos.words_masks import Sealed

_TYPE: Final = "application/vnd.concilium.secagg.{}+json"


def keys_bytes(terms: Terms, said: Keys) -> bytes:
    """Return what an agent key signs of a site's keys, in step 1."""
    return _pae("keys", terms, said.site, {"mask": said.mask.hex(), "share": said.share.hex()})


def commitment_bytes(terms: Terms, said: Sealed) -> bytes:
    """Return what an agent key signs of what a site is held to, in step 2."""
    digests = {site: digest.hex() for site, digest in said.digests.items()}
    held_to = {"commitment": said.commitment, "digests": digests}
    return _pae("commitment", terms, said.site, held_to)


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
    data = keys_bytes(terms, said) if isinstance(said, Keys) else commitment_bytes(terms, said)
    if agent is None or not is_signed(data, said.signature, agent):
        raise broken(f"what {said.site} says is not signed by its agent", rule="secagg-r3")


def _pae(step: str, terms: Terms, site: str, said: Mapping[str, Any]) -> bytes:
    body = {"terms": terms.digest, "site": site, **said}
    return dsse.pae(_TYPE.format(step), canonical.encode(body))
