"""Whether an attempt asks the hospitals that its round's seed draws, as admission asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.draw import draw, seed_of
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protos.words import Digest


def check_drawn(body: Mapping[str, Any], in_force: Digest) -> None:
    """Check that an attempt asks the sites that are drawn, by the seed that follows."""
    seed = seed_of(in_force, int(body["round"]))
    if body["seed"] != seed:
        raise Refused("its seed is not the one that follows for this round", rule="draw")
    if sorted(body["sites"]) != draw(seed, body["drawn_from"], len(body["sites"])):
        raise Refused("it asks other sites than those that are drawn", rule="draw")
