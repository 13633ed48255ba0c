"""What one sees of a round: the coordinator with masks and without, and another hospital.

Masks are those of `governance.secagg`: a pair's cancel in the sum, a hospital's own is taken
off the sum alone. Of a masked round the coordinator has every masked vector and the sum.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from governance.privacy.mechanisms import KEY_BYTES, Keystream
from governance.secagg import masks
from governance.secagg.fixed_point import Scale, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def masked(
    updates: Mapping[str, Floats], weights: Mapping[str, int], randomness: Keystream
) -> tuple[dict[str, Floats], Floats]:
    """Return each hospital's masked vector, read as if it were its update, and the mean.

    Args:
        updates: By hospital.
        weights: By hospital.
        randomness: Of all seeds.
    """
    bound = max(float(np.abs(update).max()) for update in updates.values()) or 1.0
    scale = Scale.finest(sites=len(updates), weight=max(weights.values()), bound=bound)
    pairs = {pair: _seed(randomness) for pair in itertools.combinations(sorted(updates), 2)}
    own = {name: _seed(randomness) for name in updates}
    sent = {}
    for name, update in updates.items():
        vector, _ = encode(update, weights[name], scale)
        added = [own[name], *(seed for (one, _), seed in pairs.items() if one == name)]
        taken = [seed for (_, other), seed in pairs.items() if other == name]
        masks.apply(vector, added=added, subtracted=taken)
        sent[name] = vector
    total = np.sum([*sent.values()], axis=0, dtype=np.uint32)
    masks.apply(total, added=[], subtracted=own.values())
    seen = {name: decode(vector, weights[name], scale) for name, vector in sent.items()}
    return seen, decode(total, sum(weights.values()), scale)


def others(mean: Floats, own: Floats, weights: Mapping[str, int], member: str) -> Floats:
    """Return what a member knows of the others: the step of the model without its own part."""
    whole = sum(weights.values())
    return (mean * whole - own * weights[member]) / (whole - weights[member])


def _seed(randomness: Keystream) -> bytes:
    drawn = randomness.uniform(KEY_BYTES) * 256
    return drawn.astype(np.uint8).tobytes()
