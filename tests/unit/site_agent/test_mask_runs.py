"""Which masked sums a hospital remembers that it took part in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hospital import FEDERATION, SITE

from governance.secagg.kept import Kept
from governance.secagg.terms import Part, Terms
from protos.errors import Corrupt
from site_agent import anew, masked_figures
from site_agent.store import masks


def took_part(hospital, round_, attempt=1, purpose="train"):
    terms = Terms(
        federation=FEDERATION,
        round=round_,
        attempt=attempt,
        purpose=purpose,
        model="a" * 64,
        task="b" * 64,
        roster={SITE: f"ed25519:{'c' * 64}"},
        weights={SITE: 1},
        parts=(Part(1, 1.0, 8, weighted=True),),
        threshold=1,
        checkpoint=(1, "d" * 64),
    )
    kept = Kept(terms, SITE, 3, bytes(32))
    task = f"{FEDERATION}/{round_}/{attempt}/{purpose}"
    hospital.store.now(lambda c: masks.begin(c, FEDERATION, task, kept))


def newest(hospital, purpose="train"):
    return hospital.store.look(lambda c: masks.newest(c, FEDERATION, purpose))


def test_a_round_that_was_lost_with_the_log_may_be_held_again_under_masks(charite):
    took_part(charite, 3)
    took_part(charite, 4)
    assert newest(charite) == (4, 1)
    charite.store.now(lambda c: anew.set_aside(c, charite.m, frozenset({(3, 1)})))
    assert newest(charite) == (3, 1)


def test_each_purpose_remembers_its_own_newest_attempt_over_a_restart(charite):
    took_part(charite, 4)
    took_part(charite, 4, purpose="evaluate")
    took_part(charite, 5)
    charite.restart()
    assert (newest(charite), newest(charite, "evaluate")) == ((5, 1), (4, 1))


def test_a_new_sum_forgets_the_secrets_of_its_own_purpose_alone(charite):
    took_part(charite, 4)
    took_part(charite, 4, purpose="evaluate")
    kept = charite.store.look(lambda c: masks.remembered(c, FEDERATION))
    assert sorted(kept) == [f"{FEDERATION}/4/1/evaluate", f"{FEDERATION}/4/1/train"]
    took_part(charite, 5)
    kept = charite.store.look(lambda c: masks.remembered(c, FEDERATION))
    assert sorted(kept) == [f"{FEDERATION}/4/1/evaluate", f"{FEDERATION}/5/1/train"]


def test_other_figures_are_not_masked_with_the_keys_of_a_sum_again(charite):
    took_part(charite, 4, purpose="evaluate")
    task = SimpleNamespace(task=f"{FEDERATION}/4/1/evaluate")
    charite.store.now(lambda c: masks.note_sent(c, FEDERATION, task.task, "e" * 64))
    with pytest.raises(Corrupt) as refused:
        charite.store.now(lambda c: masked_figures.send(c, charite.m, task, None))
    assert refused.value.rule == "mask-reused"
