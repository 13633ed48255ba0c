"""Hospitals are drawn so that anybody can draw them again, and nobody can choose them."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.draw import draw, seed_of

IN_FORCE = hashlib.sha256(b"the agreement is in force").hexdigest()
SITES = ("amc", "charite", "gemelli", "karolinska", "ucl")
NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), min_size=1, unique=True)
ROUNDS = st.integers(1, 10_000)


def test_draw_worked_by_hand():
    """As `printf` and `sha256sum` have it, with nothing of ours."""
    seed = hashlib.sha256(f"concilium-draw/v1\n{IN_FORCE}\n7\n".encode()).hexdigest()
    assert seed_of(IN_FORCE, 7) == seed
    ranks = {s: hashlib.sha256(f"{seed}\n{s}\n".encode()).hexdigest() for s in SITES}
    assert draw(seed, SITES, 2) == sorted(sorted(SITES, key=ranks.__getitem__)[:2])


@given(NAMES, st.integers(1, 30), ROUNDS)
@pytest.mark.slow
def test_as_many_as_agreed_are_drawn_of_those_ready(ready, count, round_):
    drawn = draw(seed_of(IN_FORCE, round_), ready, count)
    assert set(drawn) <= set(ready)
    assert len(drawn) == min(count, len(ready))
    assert drawn == sorted(set(drawn))


@given(NAMES, st.integers(1, 30), ROUNDS, st.randoms(use_true_random=False))
def test_order_in_which_the_sites_came_does_not_matter(ready, count, round_, shuffle):
    seed, mixed = seed_of(IN_FORCE, round_), list(ready)
    shuffle.shuffle(mixed)
    assert draw(seed, mixed, count) == draw(seed, ready, count)


@given(NAMES, st.integers(1, 30), ROUNDS, st.data())
def test_site_that_goes_away_changes_the_draw_of_no_other_that_was_drawn(
    ready, count, round_, data
):
    seed, gone = seed_of(IN_FORCE, round_), data.draw(st.sampled_from(ready))
    before = set(draw(seed, ready, count))
    after = set(draw(seed, [site for site in ready if site != gone], count))
    assert before - {gone} <= after


def test_every_site_is_drawn_about_as_often():
    drawn = Counter(s for r in range(1, 2001) for s in draw(seed_of(IN_FORCE, r), SITES, 2))
    assert set(drawn) == set(SITES)
    assert all(abs(times - 800) < 110 for times in drawn.values())  # five standard deviations


def test_another_agreement_draws_otherwise():
    other = hashlib.sha256(b"another").hexdigest()
    draws = [[draw(seed_of(by, r), SITES, 2) for r in range(1, 30)] for by in (IN_FORCE, other)]
    assert draws[0] != draws[1]
