"""The coordinator's half of a masked sum: it carries what sites say, and takes masks off a sum.

It sees sealed shares, masked vectors and, at the end, the shares that unmask the sum alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from governance.secagg import masks
from governance.secagg.keys import Secret, commitment, mask_seed
from governance.secagg.messages import check_agent, consistency_bytes, is_signed
from governance.secagg.shamir import Share, combine, value_at
from governance.secagg.terms import broken
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from governance.secagg.terms import Terms
    from protos.words_masks import Keys, Opened, Sealed

_TRIES: Final = 2000


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

    def delivered_to(self, receiver: str) -> dict[str, bytes]:
        """Return what the others of U2 sealed for a site."""
        return {
            sender: said.shares[receiver]
            for sender, said in sorted(self.sealed.items())
            if sender != receiver
        }


@dataclass(frozen=True, slots=True)
class Unmasked:
    """A sum without masks, in the ring, and who sent wrong shares for it."""

    total: NDArray[np.uint32]
    liars: frozenset[str]


def check_sealed(terms: Terms, keys: Mapping[str, Keys], said: Sealed) -> None:
    """Take a site's shares of step 2: they are for all of U1, its commitment is signed."""
    check_agent(terms, said)
    if set(said.shares) != set(keys) - {said.site}:
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
        PeerFault: R12, the shares do not give back what a site committed to.
    """
    dropped = sorted(set(run.sealed) - set(survivors))
    liars: set[str] = set()
    own: list[bytes] = []
    for site in sorted(survivors):
        seed, wrong = _recovered(run, _shares(run, opened, site), site, _commits_to(run, site))
        own.append(seed)
        liars |= wrong
    added: list[bytes] = []
    taken = own
    for site in dropped:
        shares = _shares(run, opened, site, keys=True)
        found, wrong = _recovered(run, shares, site, _is_key_of(run, site))
        liars |= wrong
        for other in sorted(survivors):
            seed = mask_seed(Secret(found), run.keys[other].mask, run.terms.run, (site, other))
            (taken if site > other else added).append(seed)
    masks.apply(total, added=added, subtracted=taken)
    return Unmasked(total, frozenset(liars))


def _shares(
    run: Run, opened: Mapping[str, Opened], site: str, *, keys: bool = False
) -> dict[int, Share]:
    places = run.places
    held = {
        places[sender]: one.keys if keys else one.own_masks for sender, one in opened.items()
    }
    return {
        place: Share.from_bytes(shares[site])
        for place, shares in held.items()
        if site in shares
    }


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


def _commits_to(run: Run, site: str) -> Callable[[bytes], bool]:
    said = run.sealed[site].commitment
    return lambda secret: commitment(secret, run.terms.run, site) == said


def _is_key_of(run: Run, site: str) -> Callable[[bytes], bool]:
    return lambda secret: Secret(secret).public == run.keys[site].mask


def _recovered(
    run: Run, shares: Mapping[int, Share], site: str, fits: Callable[[bytes], bool]
) -> tuple[bytes, set[str]]:
    """Return a secret that fits what was said of it, and who sent shares off its curve."""
    names = {place: name for name, place in run.places.items()}
    for chosen in _choices(sorted(shares), run.terms.threshold):
        some = {place: shares[place] for place in chosen}
        try:
            secret = combine(some)
        except PeerFault:
            continue
        if r12_fits(secret, fits):
            rest = shares.keys() - some.keys()
            wrong = {place for place in rest if value_at(some, place) != shares[place].y}
            return secret, {names[place] for place in wrong}
    raise broken(f"the shares of {site}'s secret do not give it back", rule="secagg-r12")


def r12_fits(secret: bytes, fits: Callable[[bytes], bool]) -> bool:
    """R12: tell whether a secret is the one that its site committed to, or made public.

    Stops a site that opens wrong shares from making another sum, unnamed.
    """
    return fits(secret)


def _choices(places: Sequence[int], threshold: int) -> Iterator[tuple[int, ...]]:
    """Yield all places, which serve where nobody lies; then as many as needed, not for ever."""
    if len(places) < threshold:
        return
    yield tuple(places)
    if len(places) == threshold:
        return
    around = [*places, *places]
    for start in range(len(places)):
        yield tuple(sorted(around[start : start + threshold]))
    drawn = random.Random(threshold)  # noqa: S311 - any order serves
    for _ in range(_TRIES):
        yield tuple(sorted(drawn.sample(places, threshold)))
