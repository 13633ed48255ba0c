"""A masked sum of figures of quality: whole numbers in sixteenths, in the ring as they are.

A vector of `governance.noised` is made of whole numbers, so that nothing is rounded and the sum
in the ring is the sum of the vectors, bit for bit. Each number counts patients, or less: with
±2²⁰ of them and four binary digits the sum of a hundred sites stays below 2³¹, and never wraps.
Every hospital weighs the same: the vector counts its patients by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from governance import noised
from governance.noised import GRID, deviation_of, layout_of
from governance.secagg.agreed import parts_of, weight_of
from governance.secagg.fixed_point import encode
from governance.secagg.rules import r11_within
from governance.secagg.terms import EVALUATE, Part, broken

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from governance.agreement.schema import Agreement
    from governance.noised import Noised
    from governance.secagg.terms import Terms

LARGEST: Final = 2.0**20
"""Patients, noise and all, that a number of one hospital's vector stands for at most."""
_DIGITS: Final = GRID.bit_length() - 1
_DEVIATIONS: Final = 7.0
_GROWN: Final = 2
"""A cohort that grew since its patients were declared is no larger than so many times."""


def weights_of(
    agreement: Agreement, purpose: str, declared: Mapping[str, int]
) -> dict[str, int]:
    """Return what each site counts in a run: its patients in an update's, 1 in figures'."""
    if purpose == EVALUATE:
        return dict.fromkeys(declared, 1)
    return {site: weight_of(agreement, patients) for site, patients in declared.items()}


def parts_for(agreement: Agreement, purpose: str, weights: Collection[int]) -> tuple[Part, ...]:
    """Return the parts of a run's vector; `weights` are those of the sites that are asked."""
    if purpose == EVALUATE:
        return (Part(layout_of(agreement).length, LARGEST, _DIGITS, weighted=False),)
    return parts_of(agreement, weights)


def coded(terms: Terms, said: Noised) -> NDArray[np.uint32]:
    """Return a site's figures in the ring.

    Raises:
        PeerFault: R11, a number lies beyond the bound: it would be cut off.
    """
    (part,) = terms.parts
    values = np.array(said.values, np.float64) / GRID
    vector, beyond = encode(values, 1, part.scale(len(terms.roster), 1))
    r11_within(beyond, 0)
    return vector


def opened(
    agreement: Agreement, total: NDArray[np.uint32], declared: Mapping[str, int]
) -> Noised:
    """Return what a sum without masks says of all hospitals in it.

    Args:
        agreement: The round's.
        total: The sum in the ring.
        declared: The patients that each hospital in it declared.

    Raises:
        PeerFault: R13, it is no sum of honest vectors; a hospital masked for other peers.
    """
    values = [int(value) for value in total.view(np.int32)]
    room = _DEVIATIONS * deviation_of(agreement, len(declared)) + len(declared)
    most = _GROWN * (sum(declared.values()) + 10 * len(declared)) + room
    if min(values) < -GRID * room or max(values) > GRID * most:
        raise broken("the figures' sum counts more patients than there are", rule="secagg-r13")
    return noised.summed(values, agreement, sites=len(declared))
