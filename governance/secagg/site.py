"""The site's half of a masked sum: five steps, each from one state to the next.

    advertise → share → receive, apply → agree → unmask

A step takes what came and returns the next state with what to send, or raises naming the rule
that is broken; then the site complains and forgets its secrets. A state is kept durably by
whoever drives it before what it says is sent, so that no step is ever taken twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from governance.secagg import masks, rules
from governance.secagg.keys import (
    KEY_BYTES,
    Secret,
    Shares,
    commitment,
    mask_seed,
    seal,
    share_digests,
)
from governance.secagg.messages import commitment_bytes, consistency_bytes, keys_bytes
from governance.secagg.shamir import split
from protos.words_masks import Keys, Opened, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from governance.identity.keys import Signer
    from governance.secagg.terms import Own, Terms
    from protos.words_masks import Delivered


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


def check(terms: Terms, own: Own) -> None:
    """Check a run before a key is made for it.

    Raises:
        PeerFault: naming R1, R2 or R4, the first rule that is broken.
    """
    rules.r1_parameters(terms, own)
    rules.r2_newer((terms.round, terms.attempt), own.newest)
    rules.r4_roster(terms, own)


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
    rules.r3_keys(terms, state.said, keys)
    rules.r6_enough(terms, state.minimum_sites, len(peers))
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
    digests = {
        peer: share_digests(shares, terms.run, sender=state.site, receiver=peer)
        for peer, shares in mine.items()
    }
    plain = Sealed(state.site, sealed, digests, commitment(own_mask, terms.run, state.site))
    sent = replace(plain, signature=signer.sign(commitment_bytes(terms, plain)))
    return Shared(state, peers, own_mask, mine[state.site]), sent


def receive(state: Shared, delivered: Delivered) -> Masked:
    """Step 3: open what each other site of U2 sealed for this one. R5 and R6."""
    before, terms, sealed = state.before, state.before.terms, delivered.shares
    rules.r6_enough(terms, before.minimum_sites, len({*sealed, before.site}))
    rules.r5_senders(before.site, sealed.keys(), state.peers.keys())
    held = {
        peer: rules.r5_opened(
            sealed[peer],
            before.share,
            state.peers[peer].share,
            terms.run,
            sender=peer,
            receiver=before.site,
            digests=delivered.digests.get(peer, b""),
        )
        for peer in sorted(sealed)
    }
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
    rules.r7_sum(
        terms, before.site, before.minimum_sites, named=named, shared=state.held.keys()
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
    held, terms = state.before.held, state.before.before.before.terms
    rules.r8_signed(terms, state.survivors, signatures)
    asked, gone = frozenset(survivors), frozenset(dropped)
    rules.r10_asked(state.survivors, held.keys(), asked=asked, gone=gone)
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
