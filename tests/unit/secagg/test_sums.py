"""The masked sum is the plain sum bit for bit, whoever drops out, up to n − t."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums import Sum, names_of, played, terms_of, values_of

from governance.secagg.terms import threshold_of
from protos.errors import PeerFault


def is_the_plain_sum(run, values):
    found = run.unmasked()
    assert not found.liars
    assert found.total.tolist() == run.plain(values).tolist()
    return found.total


@pytest.mark.parametrize("count", [3, 5, 20, 100])
@pytest.mark.slow
def test_the_masked_sum_is_the_plain_one(count):
    terms = terms_of(names_of(count))
    values = values_of(terms)
    run = played(terms, values)
    mean = run.mean(is_the_plain_sum(run, values))
    exact = np.mean(list(values.values()), axis=0)
    scale = terms.parts[0].scale(count, 1)
    assert np.all(np.abs(mean - exact) <= scale.rounding + 1e-15)


def test_unequal_weights_count():
    terms = terms_of(names_of(5), weight=40)
    terms = terms_of(
        names_of(5), weight=40, weights=dict(zip(terms.sites, (7, 12, 1, 40, 3), strict=True))
    )
    values = values_of(terms)
    run = played(terms, values)
    mean = run.mean(is_the_plain_sum(run, values))
    exact = sum(terms.weights[name] * values[name] for name in terms.sites) / 63
    assert np.abs(mean - exact).max() < 1e-5


@pytest.mark.parametrize("step", ["before_shares", "before_mask", "silent"])
@pytest.mark.parametrize("count", [5, 9])
def test_as_many_as_n_less_t_may_drop_out(count, step):
    terms = terms_of(names_of(count))
    gone = terms.sites[1 : 1 + count - threshold_of(count)]
    values = values_of(terms)
    is_the_plain_sum(played(terms, values, **{step: gone}), values)


def test_sites_drop_out_at_every_step_of_one_run():
    terms = terms_of(names_of(12))  # t = 9
    one, two, three = terms.sites[0], terms.sites[4], terms.sites[11]
    values = values_of(terms)
    run = played(
        terms, values, before_shares=[one], before_mask=[two], before_consistency=[three]
    )
    is_the_plain_sum(run, values)
    assert set(run.vectors) == set(terms.sites) - {one, two}


@pytest.mark.parametrize("step", ["before_shares", "before_mask", "before_consistency"])
def test_one_more_that_drops_out_ends_the_run(step):
    terms = terms_of(names_of(5))
    with pytest.raises(PeerFault) as told:
        played(terms, values_of(terms), **{step: terms.sites[:2]})
    assert told.value.rule in {"secagg-r6", "secagg-r7", "secagg-r8"}


def test_one_more_that_is_silent_at_last_leaves_the_sum_masked():
    terms = terms_of(names_of(5))
    run = played(terms, values_of(terms), silent=terms.sites[:2])
    with pytest.raises(PeerFault) as told:
        run.unmasked()
    assert told.value.rule == "secagg-r12"


@settings(max_examples=30)
@given(st.data(), st.integers(3, 9))
def test_any_survivors_sum_is_theirs(data, count):
    terms = terms_of(names_of(count), length=data.draw(st.integers(1, 40)))
    spare = count - terms.threshold
    gone = data.draw(st.lists(st.sampled_from(terms.sites), max_size=spare, unique=True))
    shares = data.draw(st.integers(0, len(gone)))
    values = values_of(terms, data.draw(st.integers(0, 1000)))
    run = played(terms, values, before_shares=gone[:shares], before_mask=gone[shares:])
    is_the_plain_sum(run, values)


def test_what_a_site_sends_says_nothing_of_its_vector():
    """The same values in two runs look unlike, and unlike what they stand for."""
    terms = terms_of(names_of(3), length=1000)
    values = values_of(terms)
    sent = []
    for word in ("one", "two"):
        run = Sum(terms, word).advertise().share().mask(values)
        sent.append(run.vectors["s000"])
        assert np.mean(run.vectors["s000"] == run.coded("s000", values["s000"])) < 0.01
    assert np.mean(sent[0] == sent[1]) < 0.01


def test_masks_of_sites_that_were_sent_different_models_do_not_cancel():
    terms = terms_of(names_of(3))
    other = terms_of(names_of(3), model="d" * 64)
    values = values_of(terms)
    run = Sum(terms).advertise().share()
    run.mask(values, "s000", "s001")
    lured = Sum(other).advertise("s002", model="d" * 64)
    assert lured.keys["s002"].mask == run.keys["s002"].mask  # its keys, under another model
    lured.keys.update(run.keys | {"s002": lured.keys["s002"]})
    with pytest.raises(PeerFault) as told:
        lured.share("s002")
    assert told.value.rule == "secagg-r3"
