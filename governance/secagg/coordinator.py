"""The coordinator's half of a masked sum: it carries what sites say, and takes masks off a sum.

It sees sealed shares, masked vectors and, at the end, the shares that unmask the sum alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from governance.secagg import masks
from governance.secagg.keys import (
    KEY,
    OWN_MASK,
    Secret,
    commitment,
    mask_seed,
    share_digest,
)
from governance.secagg.messages import check_agent, consistency_bytes, is_signed
from governance.secagg.shamir import Share, combine
from governance.secagg.terms import broken
from protos.errors import PeerFault
from protos.words_masks import Delivered

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from governance.secagg.terms import Terms
    from protos.words_masks import Keys, Opened, Sealed


class WrongShares(PeerFault):
    """Shares that do not give back what a site committed to (R12).

    Attributes:
        liars: Who opened another share than it was sent, or shared another secret than it uses.
    """

    def __init__(self, liars: frozenset[str]) -> None:
        """Say whose fault it is; nobody's where too few shares came."""
        whose = f"those of {', '.join(sorted(liars))} are wrong" if liars else "too few came"
        told = broken(f"the shares do not give the secrets back: {whose}", rule="secagg-r12")
        super().__init__(told.what, rule=told.rule)
        self.liars = liars


@dataclass(frozen=True, slots=True)
class _Recovered:
    """A site's secret, or None where the shares do not give it, and whose fault that is."""

    secret: bytes | None
    liars: frozenset[str]


@dataclass(frozen=True, slots=True)
class Run:
    """What the coordinator knows once all of U2 shared: keys of U1, shares of U2."""

    terms: Terms
    keys: Mapping[str, Keys]
    sealed: Mapping[str, Sealed]

    @property
    def places(self) -> dict[str, int]:
        """The x of each site of U1 in every polynomial."""
        return {site: place for place, site in enumerate(sorted(self.keys), start=1)}

    def delivered_to(self, receiver: str) -> Delivered:
        """Return what the others of U2 sealed for a site."""
        others = [
            (name, said) for name, said in sorted(self.sealed.items()) if name != receiver
        ]
        return Delivered(
            {sender: said.shares[receiver] for sender, said in others},
            {sender: said.digests[receiver] for sender, said in others},
        )


@dataclass(frozen=True, slots=True)
class Unmasked:
    """A sum without masks, in the ring, and who sent wrong shares for it."""

    total: NDArray[np.uint32]
    liars: frozenset[str]


def check_sealed(terms: Terms, keys: Mapping[str, Keys], said: Sealed) -> None:
    """Take a site's shares of step 2: they are for all of U1, its commitment is signed."""
    check_agent(terms, said)
    others = set(keys) - {said.site}
    if set(said.shares) != others or set(said.digests) != {*others, said.site}:
        raise broken(f"the shares of {said.site} are not for all the others", rule="secagg-r12")


def check_vector(terms: Terms, site: str, vector: NDArray[np.uint32]) -> None:
    """R13: take a masked vector of the agreed length alone."""
    if vector.dtype != np.uint32 or vector.shape != (terms.length,):
        raise broken(
            f"the masked vector of {site} has not {terms.length} coordinates", rule="secagg-r13"
        )


def check_consistent(
    terms: Terms, site: str, signature: bytes, survivors: Sequence[str]
) -> None:
    """Take a site's signature over U3 if it is one; raise PeerFault otherwise."""
    said = consistency_bytes(terms, site, survivors)
    if site not in survivors or not is_signed(said, signature, terms.roster[site]):
        raise broken(f"{site} did not sign who is in the sum", rule="secagg-r8")


def unmask(
    run: Run, total: NDArray[np.uint32], survivors: Sequence[str], opened: Mapping[str, Opened]
) -> Unmasked:
    """Take the masks off a sum, in place.

    Args:
        run: What was said in steps 1 and 2.
        total: The sum of the survivors' masked vectors mod 2³²; changed.
        survivors: U3.
        opened: What at least t of them opened in step 5, by site.

    Raises:
        WrongShares: R12, the shares do not give back what a site committed to.
    """
    dropped = sorted(set(run.sealed) - set(survivors))
    own = {site: _recovered(run, opened, site, OWN_MASK) for site in sorted(survivors)}
    keys = {site: _recovered(run, opened, site, KEY) for site in dropped}
    every = (*own.values(), *keys.values())
    liars = frozenset().union(*(one.liars for one in every))
    if any(one.secret is None for one in every):
        raise WrongShares(liars)
    added: list[bytes] = []
    taken = [one.secret for one in own.values() if one.secret is not None]
    for site, one in keys.items():
        assert one.secret is not None
        key = Secret(one.secret)
        for other in sorted(survivors):
            seed = mask_seed(key, run.keys[other].mask, run.terms.run, (site, other))
            (taken if site > other else added).append(seed)
    masks.apply(total, added=added, subtracted=taken)
    return Unmasked(total, liars)


def check_opened(
    site: str, said: Opened, *, survivors: Collection[str], shared: Collection[str]
) -> None:
    """Take what a site opened if it is a share of just what was asked for.

    Args:
        site: Whose word it is.
        said: What it opened.
        survivors: U3.
        shared: U2.

    Raises:
        PeerFault: R12, it opened another's, too few, or something that is no share.
    """
    expected = (set(survivors), set(shared) - set(survivors))
    if site not in survivors or (set(said.own_masks), set(said.keys)) != expected:
        raise broken(f"{site} opened other shares than those asked for", rule="secagg-r12")
    try:
        for share in (*said.own_masks.values(), *said.keys.values()):
            Share.from_bytes(share)
    except PeerFault:
        raise broken(f"{site} opened what is no share", rule="secagg-r12") from None


def _recovered(run: Run, opened: Mapping[str, Opened], site: str, of: str) -> _Recovered:
    """Put a site's secret together of the shares that it had committed to.

    Who opens another share than it was sent is known by its digest; a site whose own shares,
    every one as it committed to it, give another secret than it named made them so.
    """
    right: dict[int, Share] = {}
    wrong: set[str] = set()
    for sender, said in opened.items():
        share = (said.own_masks if of == OWN_MASK else said.keys).get(site)
        if share is None:
            continue
        if r12_same(run, share, site, sender, of):
            right[run.places[sender]] = Share.from_bytes(share)
        else:
            wrong.add(sender)
    if len(right) < run.terms.threshold:
        return _Recovered(None, frozenset(wrong))
    secret = _combined(dict(sorted(right.items())[: run.terms.threshold]))
    if secret is None or not r12_fits(run, secret, site, of):
        return _Recovered(None, frozenset({*wrong, site}))
    return _Recovered(secret, frozenset(wrong))


def _combined(shares: Mapping[int, Share]) -> bytes | None:
    try:
        return combine(shares)
    except PeerFault:
        return None


def r12_same(run: Run, share: bytes, site: str, opener: str, of: str) -> bool:
    """R12: tell whether a share is the one of a site's that its opener was sent.

    Stops a site that opens wrong shares from making another sum, or none, unnamed.
    """
    own, key = _halves(run.sealed[site].digests[opener])
    digest = share_digest(share, run.terms.run, sender=site, receiver=opener, of=of)
    return digest == (own if of == OWN_MASK else key)


def r12_fits(run: Run, secret: bytes, site: str, of: str) -> bool:
    """R12: tell whether a secret is the one that its site committed to, or made public.

    Stops a site that shares another secret than it masks with from making another sum, unnamed.
    """
    if of == OWN_MASK:
        return commitment(secret, run.terms.run, site) == run.sealed[site].commitment
    return Secret(secret).public == run.keys[site].mask


def _halves(digests: bytes) -> tuple[bytes, bytes]:
    middle = len(digests) // 2
    return digests[:middle], digests[middle:]
