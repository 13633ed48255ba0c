"""R1 to R11: what a site holds each step of a masked sum against, a function for each rule.

Each raises PeerFault naming its rule, before anything is done; then the site complains and
forgets its secrets. R12 and R13 are the coordinator's, and stand with what they check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.secagg.keys import share_digests, unseal
from governance.secagg.messages import check_agent, consistency_bytes, is_signed
from governance.secagg.terms import FEWEST, PURPOSES, broken, threshold_of
from protos.errors import PeerFault

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from governance.secagg.keys import Attempt, Secret, Shares
    from governance.secagg.terms import Own, Terms
    from protos.words_masks import Keys


def r1_parameters(terms: Terms, own: Own) -> None:
    """The model, the task, the head, the weights, the scale and t are the site's own.

    Stops a sum of one site's values in its high bits, t = 1, and a model made to show its data.
    """
    expected = (own.model, own.task, own.parts, own.root)
    if (terms.model, terms.task, terms.parts, terms.checkpoint[1]) != expected:
        raise broken(
            "the model, the task, the scale or the ledger's head is not this site's",
            rule="secagg-r1",
        )
    if terms.purpose not in PURPOSES or terms.threshold != threshold_of(len(terms.roster)):
        raise broken(
            "the threshold or the purpose is not the one that follows", rule="secagg-r1"
        )
    if any(terms.weights.get(site) != own.weights.get(site) for site in terms.roster):
        raise broken("a weight is not the one of the record", rule="secagg-r1")
    _check_scales(terms)


def _check_scales(terms: Terms) -> None:
    most = max((terms.weights[site] for site in terms.roster), default=0)
    try:
        for part in terms.parts:
            part.scale(len(terms.roster), most)
    except ValueError:
        raise broken("a sum of these sites could wrap", rule="secagg-r1") from None


def r2_newer(at: tuple[int, int], newest: tuple[int, int]) -> None:
    """The (round, attempt) is newer than any before.

    Stops two sums whose difference is one site's update.
    """
    if at <= newest:
        raise broken(f"round {at[0]}, attempt {at[1]} is not newer", rule="secagg-r2")


def r3_keys(terms: Terms, mine: Keys, keys: Collection[Keys]) -> None:
    """Each key is signed by an agent key of the roster, all differ, one's own is unchanged.

    Stops a coordinator that stands between two sites with keys of its own.
    """
    for said in keys:
        check_agent(terms, said)
    every = [key for said in keys for key in (said.mask, said.share)]
    sites = {said.site for said in keys}
    if len(sites) != len(keys) or len(set(every)) != len(every):
        raise broken("a key or a site stands there twice", rule="secagg-r3")
    if mine not in keys:
        raise broken("this site's own keys were changed or left out", rule="secagg-r3")


def r4_roster(terms: Terms, own: Own) -> None:
    """It is asked among sites of the agreement, with their keys, and enough of them.

    Stops invented sites, and a sum that is one hospital's update.
    """
    if any(own.roster.get(site) != key for site, key in terms.roster.items()):
        raise broken(
            "the roster has a site or a key that the agreement has not", rule="secagg-r4"
        )
    if own.site not in terms.roster or len(terms.roster) < max(FEWEST, own.minimum_sites):
        raise broken(
            f"{len(terms.roster)} sites are too few, or this one is not among them",
            rule="secagg-r4",
        )


def r5_senders(site: str, senders: Collection[str], peers: Collection[str]) -> None:
    """Shares come from other sites whose keys came. Stops shares of nobody."""
    if site in senders or not set(senders) <= set(peers):
        raise broken("shares come from a site whose keys did not", rule="secagg-r5")


def r5_opened(  # noqa: PLR0913 - what a share is sealed with, each by itself
    sealed: bytes,
    mine: Secret,
    peer: bytes,
    run: Attempt,
    *,
    sender: str,
    receiver: str,
    digests: bytes,
) -> Shares:
    """Return the shares that open as this sender's for this receiver in this run.

    Stops shares of another round or for another from being mixed in, and others than those that
    this site will be held to when it opens them.
    """
    try:
        shares = unseal(sealed, mine, peer, run, sender=sender, receiver=receiver)
    except PeerFault:
        raise broken(f"the shares of {sender} do not open", rule="secagg-r5") from None
    if share_digests(shares, run, sender=sender, receiver=receiver) != digests:
        raise broken(f"the shares of {sender} are not those it committed to", rule="secagg-r5")
    return shares


def r6_enough(terms: Terms, minimum_sites: int, count: int) -> None:
    """Enough sites are left, by t and by the site's own minimum.

    Stops a sum that is too few hospitals' to hide one.
    """
    if count < max(terms.threshold, minimum_sites):
        raise broken(f"{count} sites are left, too few to go on", rule="secagg-r6")


def r7_sum(
    terms: Terms,
    site: str,
    minimum_sites: int,
    *,
    named: Collection[str],
    shared: Collection[str],
) -> None:
    """U3 is large enough, within those who shared, and has this site in it.

    Stops a sum of one, and a site being called dropped out and in at once.
    """
    if len(named) < max(terms.threshold, minimum_sites):
        raise broken(f"{len(named)} sites are in the sum, too few", rule="secagg-r7")
    if not set(named) <= set(shared) or site not in named:
        raise broken(
            "a site is in the sum that sent no shares, or this one is left out",
            rule="secagg-r7",
        )


def r8_signed(
    terms: Terms, survivors: Collection[str], signatures: Mapping[str, bytes]
) -> None:
    """Enough sites signed the same U3 under the same head. Stops two sets for two halves."""
    good = [
        site
        for site, signature in signatures.items()
        if site in survivors
        and is_signed(consistency_bytes(terms, site, survivors), signature, terms.roster[site])
    ]
    if len(good) < terms.threshold:
        raise broken(
            f"{len(good)} sites signed this set, and {terms.threshold} must", rule="secagg-r8"
        )


def r9_once(*, opened: bool) -> None:
    """Shares are given up once. Stops a second set, which with the first lays a vector bare."""
    if opened:
        raise broken("shares are asked for a second time", rule="secagg-r9")


def r10_asked(
    survivors: frozenset[str],
    shared: Collection[str],
    *,
    asked: frozenset[str],
    gone: frozenset[str],
) -> None:
    """b_v is asked for of those in the sum, keys of those who dropped out, never both.

    Stops one site's vector from being laid bare.
    """
    if asked != survivors or gone != frozenset(shared) - survivors:
        raise broken(
            "shares are asked for that would lay a single vector bare", rule="secagg-r10"
        )


def r11_within(beyond: int, most: int) -> None:
    """No more coordinates saturate than honest ones may. Stops a sum of cut off values."""
    if beyond > most:
        raise broken(f"{beyond} coordinates lie beyond the bound", rule="secagg-r11")
