"""Figures in the ring: as they are, with room for every site, or refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sums import names_of, played, terms_of

from governance import noised
from governance.noised import Noised
from governance.secagg import counted, masks
from governance.secagg.fixed_point import MOST_SITES, Scale
from governance.secagg.keys import Secret, mask_seed
from governance.secagg.terms import Part
from protos.errors import PeerFault

LENGTH = 5
PART = Part(LENGTH, counted.LARGEST, 4, weighted=False)


@pytest.fixture
def terms():
    return terms_of(names_of(5), parts=(PART,), purpose="evaluate")


@pytest.fixture
def agreement(monkeypatch):
    """An agreement of which no more is known than its noise and its layout."""
    layout = noised.Layout("category", (), 3)
    monkeypatch.setattr(noised, "layout_of", lambda _: layout)
    monkeypatch.setattr(counted, "layout_of", lambda _: layout)
    return SimpleNamespace(metrics_sigma=2.0, figures_minimum=1)


def said(*values):
    return Noised("category", "3", values)


def test_a_hundred_sites_at_the_bound_never_wrap():
    scale = PART.scale(MOST_SITES, 1)
    assert isinstance(scale, Scale)
    most = int(counted.LARGEST * noised.GRID)
    assert MOST_SITES * most < 2**31
    with pytest.raises(ValueError, match="could wrap"):
        replace(PART, bound=counted.LARGEST * 2).scale(MOST_SITES, 1)


def test_figures_are_in_the_ring_as_they_are(terms):
    vector = counted.coded(terms, said(0, 1, -1, 16, -(2**20)))
    assert vector.view(np.int32).tolist() == [0, 1, -1, 16, -(2**20)]


def test_a_number_beyond_the_bound_does_not_leave(terms):
    beyond = int(counted.LARGEST * noised.GRID) + 1
    with pytest.raises(PeerFault) as refused:
        counted.coded(terms, said(0, 0, 0, 0, beyond))
    assert refused.value.rule == "secagg-r11"


def test_the_sum_s_noise_is_that_of_all_sites_in_it(agreement):
    total = np.array([1600, 1600, 1600, 800, 400], np.uint32)
    told = counted.opened(agreement, total, dict.fromkeys("abcd", 100))
    assert told.values == (1600, 1600, 1600, 800, 400)
    assert float(told.deviation) == pytest.approx(2 * 2.0 * 1.5)  # √4 times one site's


def test_the_minimum_holds_for_the_classes_of_all_sites_together(agreement):
    total = np.array([16, 1600, 1600, 800, 400], np.uint32)
    told = counted.opened(agreement, total, dict.fromkeys("abcd", 100))
    assert (told.withheld, told.values) == ("under-minimum", ())


@pytest.mark.parametrize("wrong", [100_000, -100_000])
def test_a_sum_of_more_patients_than_there_are_is_none(agreement, wrong):
    total = np.array([wrong, 1600, 1600, 800, 400], np.int32).view(np.uint32)
    with pytest.raises(PeerFault) as refused:
        counted.opened(agreement, total, dict.fromkeys("abcd", 100))
    assert refused.value.rule == "secagg-r13"


def test_every_site_weighs_the_same(agreement):
    assert counted.weights_of(agreement, "evaluate", {"a": 40, "b": 900}) == {"a": 1, "b": 1}


def test_a_sum_of_figures_is_opened_bit_for_bit(terms):
    drawn = np.random.default_rng(7)
    values = {name: drawn.integers(-50, 5000, LENGTH) / 16 for name in terms.sites}
    run = played(terms, values)
    total = run.unmasked().total.view(np.int32)
    assert total.tolist() == [
        int(16 * sum(v[i] for v in values.values())) for i in range(LENGTH)
    ]


def test_masks_of_one_purpose_are_not_those_of_the_other(terms):
    mine, other = Secret(bytes(range(32))), Secret(bytes(range(1, 33)))
    train = replace(terms, purpose="train")
    both = [mask_seed(mine, other.public, one.run, ("s000", "s001")) for one in (terms, train)]
    assert both[0] != both[1]
    vectors = [np.zeros(LENGTH, np.uint32) for _ in both]
    for vector, seed in zip(vectors, both, strict=True):
        masks.apply(vector, added=[seed], subtracted=[])
    assert vectors[0].tolist() != vectors[1].tolist()
