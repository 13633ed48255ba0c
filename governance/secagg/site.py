"""The site's half of a masked sum: five steps, each from one state to the next.

    advertise → share → receive, apply → agree → unmask

A step takes what came and returns the next state with what to send, or raises naming the rule
that is broken; then the site complains and forgets its secrets. A state is kept durably by
whoever drives it before what it says is sent, so that no step is ever taken twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from governance.secagg import masks
from governance.secagg.keys import (
    KEY_BYTES,
    Secret,
    Shares,
    commitment,
    mask_seed,
    seal,
    unseal,
)
from governance.secagg.messages import (
    check_agent,
    commitment_bytes,
    consistency_bytes,
    is_signed,
    keys_bytes,
)
from governance.secagg.shamir import split
from governance.secagg.terms import broken, check
from protos.errors import PeerFault
from protos.words_masks import Keys, Opened, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from governance.identity.keys import Signer
    from governance.secagg.terms import Own, Terms


@dataclass(frozen=True, slots=True, repr=False)
class Advertised:
    """Its two keys are made, and the public ones sent."""

    terms: Terms
    site: str
    minimum_sites: int
    mask: Secret
    share: Secret
    said: Keys


@dataclass(frozen=True, slots=True, repr=False)
class Shared:
    """Its secrets are shared among U1; `own_mask` is b_u."""

    before: Advertised
    peers: Mapping[str, Keys]
    own_mask: bytes
    mine: Shares


@dataclass(frozen=True, slots=True, repr=False)
class Masked:
    """It masks its vector for U2; `held` are the shares of everybody in it."""

    before: Shared
    held: Mapping[str, Shares]


@dataclass(frozen=True, slots=True, repr=False)
class Agreed:
    """It signed U3."""

    before: Masked
    survivors: frozenset[str]


def advertise(
    terms: Terms, own: Own, *, draw: Callable[[int], bytes], signer: Signer
) -> tuple[Advertised, Keys]:
    """Step 1: check the run, and make the two keys for it. R1, R2 and R4."""
    check(terms, own)
    return begin(terms, own.site, own.minimum_sites, draw=draw, signer=signer)


def begin(
    terms: Terms,
    site: str,
    minimum_sites: int,
    *,
    draw: Callable[[int], bytes],
    signer: Signer,
) -> tuple[Advertised, Keys]:
    """Make the keys of a run that was checked; the same draws make the same ones again."""
    mask, share = Secret(draw(KEY_BYTES)), Secret(draw(KEY_BYTES))
    plain = Keys(site, mask.public, share.public)
    said = Keys(site, mask.public, share.public, signer.sign(keys_bytes(terms, plain)))
    return Advertised(terms, site, minimum_sites, mask, share, said), said


def share(
    state: Advertised, keys: Collection[Keys], *, draw: Callable[[int], bytes], signer: Signer
) -> tuple[Shared, Sealed]:
    """Step 2: share b_u and the key for masks among U1, those whose keys came. R3."""
    terms = state.terms
    peers = {said.site: said for said in keys}
    # R3. Each key is signed by an agent key of the roster, all differ, one's own is unchanged.
    for said in keys:
        check_agent(terms, said)
    every = [key for said in keys for key in (said.mask, said.share)]
    if len(peers) != len(keys) or len(set(every)) != len(every):
        raise broken("a key or a site stands there twice", rule="secagg-r3")
    if peers.get(state.site) != state.said:
        raise broken("this site's own keys were changed or left out", rule="secagg-r3")
    if len(peers) < max(terms.threshold, state.minimum_sites):
        raise broken(f"{len(peers)} sites are left, too few to go on", rule="secagg-r6")
    own_mask = draw(KEY_BYTES)
    mine = _split(state, sorted(peers), own_mask, draw)
    sealed = {
        peer: seal(
            mine[peer],
            state.share,
            peers[peer].share,
            terms.run,
            sender=state.site,
            receiver=peer,
        )
        for peer in peers
        if peer != state.site
    }
    held = commitment(own_mask, terms.run, state.site)
    plain = Sealed(state.site, sealed, held)
    sent = Sealed(state.site, sealed, held, signer.sign(commitment_bytes(terms, plain)))
    return Shared(state, peers, own_mask, mine[state.site]), sent


def receive(state: Shared, sealed: Mapping[str, bytes]) -> Masked:
    """Step 3: open what each other site of U2 sealed for this one. R5 and R6."""
    before, terms = state.before, state.before.terms
    others = sorted(sealed)
    # R6. Enough sites shared. Stops a sum that is too few hospitals' to hide one.
    if len(others) + 1 < max(terms.threshold, before.minimum_sites):
        raise broken(f"{len(others) + 1} sites sent shares, too few to go on", rule="secagg-r6")
    if before.site in sealed or not set(others) <= set(state.peers):
        raise broken("shares come from a site whose keys did not", rule="secagg-r5")
    # R5. Each share opens, as this sender's for this site in this run. Stops shares of another
    #     round or for another from being mixed in.
    held = {peer: _open(state, peer, sealed[peer]) for peer in others}
    return Masked(state, {**held, before.site: state.mine})


def apply(state: Masked, vector: NDArray[np.uint32]) -> None:
    """Mask an encoded update, in place, for U2: then it is what is sent."""
    shared, before = state.before, state.before.before
    terms = before.terms
    if vector.shape != (terms.length,):
        raise ValueError(f"a vector has {terms.length} coordinates, and not {vector.shape}")
    seeds = {
        peer: mask_seed(before.mask, shared.peers[peer].mask, terms.run, (before.site, peer))
        for peer in state.held
        if peer != before.site
    }
    masks.apply(
        vector,
        added=[shared.own_mask, *(seed for peer, seed in seeds.items() if peer > before.site)],
        subtracted=[seed for peer, seed in seeds.items() if peer < before.site],
    )


def agree(state: Masked, survivors: Collection[str], *, signer: Signer) -> tuple[Agreed, bytes]:
    """Step 4: sign who is in the sum, U3, once. R7."""
    before = state.before.before
    terms, named = before.terms, frozenset(survivors)
    # R7. U3 is large enough, and within those who shared. Stops a sum of one, and a site being
    #     called dropped out and in at once.
    if len(named) < max(terms.threshold, before.minimum_sites):
        raise broken(f"{len(named)} sites are in the sum, too few", rule="secagg-r7")
    if not named <= set(state.held) or before.site not in named:
        raise broken(
            "a site is in the sum that sent no shares, or this one is left out",
            rule="secagg-r7",
        )
    return Agreed(state, named), signer.sign(consistency_bytes(terms, before.site, named))


def unmask(
    state: Agreed,
    signatures: Mapping[str, bytes],
    *,
    survivors: Collection[str],
    dropped: Collection[str],
) -> Opened:
    """Step 5: give up shares, once; the site then forgets all of the run. R8 and R10.

    R9, a second request, finds no state any more: whoever drives this deletes it first.

    Args:
        state: The state.
        signatures: Of step 4, by site.
        survivors: The sites whose b_v is asked for.
        dropped: The sites whose key for masks is asked for.
    """
    held, before = state.before.held, state.before.before.before
    terms = before.terms
    # R8. Enough sites signed the same U3 under the same head. Stops two sets for two halves.
    good = [
        site
        for site, signature in signatures.items()
        if site in state.survivors
        and is_signed(
            consistency_bytes(terms, site, state.survivors), signature, terms.roster[site]
        )
    ]
    if len(good) < terms.threshold:
        raise broken(
            f"{len(good)} sites signed this set, and {terms.threshold} must", rule="secagg-r8"
        )
    # R10. b_v for those in the sum, keys for those who dropped out, never both. Stops one
    #      site's vector from being laid bare.
    asked, gone = frozenset(survivors), frozenset(dropped)
    if asked != state.survivors or gone != frozenset(held) - state.survivors:
        raise broken(
            "shares are asked for that would lay a single vector bare", rule="secagg-r10"
        )
    return Opened(
        {site: held[site].own_mask.to_bytes() for site in sorted(asked)},
        {site: held[site].key.to_bytes() for site in sorted(gone)},
    )


def _split(
    state: Advertised, peers: list[str], own_mask: bytes, draw: Callable[[int], bytes]
) -> dict[str, Shares]:
    sharing = {"threshold": state.terms.threshold, "count": len(peers)}
    first = split(own_mask, **sharing, draw=draw)
    second = split(state.mask.to_bytes(), **sharing, draw=draw)
    return {
        peer: Shares(*both)
        for peer, both in zip(peers, zip(first, second, strict=True), strict=True)
    }


def _open(state: Shared, peer: str, sealed: bytes) -> Shares:
    before = state.before
    try:
        return unseal(
            sealed,
            before.share,
            state.peers[peer].share,
            before.terms.run,
            sender=peer,
            receiver=before.site,
        )
    except PeerFault:
        raise broken(f"the shares of {peer} do not open", rule="secagg-r5") from None
