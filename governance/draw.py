"""Which hospitals take part in a round where the agreement asks for some of those ready.

The seed of a round follows from the entry that put the agreement in force, so that from then on
nobody can choose one to have certain hospitals drawn; whoever has the ledger draws again.
A hospital's rank is the hash of seed and name; the lowest take part. So another attempt draws
the same ones as far as they are ready, and an update that was paid for can be sent again.

No privacy is claimed from the draw: every hospital's ε is reckoned as if it were always drawn.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEED: Final = "concilium-draw/v1"


def seed_of(in_force: Digest, round_: int) -> Digest:
    """Return a round's seed: SHA-256 of a label, a digest and the round, a line each.

    Args:
        in_force: The statement digest of the agreement's `agreement-in-force`.
        round_: The round; its attempts have one seed.
    """
    return _digest(f"{_SEED}\n{in_force}\n{round_}\n")


def draw(seed: Digest, ready: Iterable[str], count: int) -> list[str]:
    """Return, in name order, the `count` sites whose SHA-256 of seed and name is lowest.

    All of them where they are fewer.
    """
    ranked = sorted(set(ready), key=lambda site: _digest(f"{seed}\n{site}\n"))
    return sorted(ranked[:count])


def _digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())
