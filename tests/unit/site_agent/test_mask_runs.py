"""Which masked sums a hospital remembers that it took part in."""

from __future__ import annotations

from hospital import FEDERATION, SITE

from governance.secagg.kept import Kept
from governance.secagg.terms import Part, Terms
from site_agent import anew
from site_agent.store import masks


def took_part(hospital, round_, attempt=1):
    terms = Terms(
        federation=FEDERATION,
        round=round_,
        attempt=attempt,
        purpose="train",
        model="a" * 64,
        task="b" * 64,
        roster={SITE: f"ed25519:{'c' * 64}"},
        weights={SITE: 1},
        parts=(Part(1, 1.0, 8, weighted=True),),
        threshold=1,
        checkpoint=(1, "d" * 64),
    )
    kept = Kept(terms, SITE, 3, bytes(32))
    task = f"{FEDERATION}/{round_}/{attempt}/train"
    hospital.store.now(lambda c: masks.begin(c, FEDERATION, task, kept))


def newest(hospital):
    return hospital.store.look(lambda c: masks.newest(c, FEDERATION, "train"))


def test_a_round_that_was_lost_with_the_log_may_be_held_again_under_masks(charite):
    took_part(charite, 3)
    took_part(charite, 4)
    assert newest(charite) == (4, 1)
    charite.store.now(lambda c: anew.set_aside(c, charite.m, frozenset({(3, 1)})))
    assert newest(charite) == (3, 1)
