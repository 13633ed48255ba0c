"""Figures of a category: by hand, pooled over sites that lack values, withheld, as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

from governance.figures import UNDER_MINIMUM, Figures, figures_of, from_json, pooled, to_json
from protos.errors import PeerFault

SCORES = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]]


def category(scores, labels, minimum=1, **terms) -> Figures:
    return figures_of(
        np.array(scores), np.array(labels), kind="category", minimum=minimum, **terms
    )


def test_accuracy_and_log_loss_by_hand_and_nothing_else():
    said = category(SCORES, [0, 1, 1])
    assert said.accuracy() == 2 / 3
    assert said.log_loss() == pytest.approx(-(np.log(0.7) + np.log(0.3) + np.log(0.5)) / 3)
    assert [said.auc(), said.brier(), said.rmse()] == [None] * 3


def test_sure_score_that_is_wrong_has_a_finite_loss():
    assert np.isfinite(category([[1.0, 0.0]], [1]).log_loss())


@pytest.mark.parametrize("seed", range(5))
def test_pooling_sites_that_lack_values_is_exact(seed):
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 10, 300))  # cut in parts, most sites have few values
    scores = rng.dirichlet(np.ones(10), 300)
    parts = [slice(0, 40), slice(40, 150), slice(150, 300)]
    pool = pooled(
        category(scores[part], labels[part], minimum=10, each_class=False) for part in parts
    )
    whole = category(scores, labels)
    assert pool.accuracy() == whole.accuracy()
    assert pool.log_loss() == pytest.approx(whole.log_loss(), rel=1e-12)


def test_value_that_few_patients_have_withholds_all():
    labels = [0] * 12 + [1] * 3
    scores = np.tile(SCORES[0], (15, 1))
    assert category(scores, labels, minimum=10) == Figures("category", withheld=UNDER_MINIMUM)
    assert not category(scores[:12], labels[:12], minimum=10).withheld  # nobody has the others


def test_without_classes_the_minimum_is_of_all_patients():
    labels = [0] * 7 + [1] * 3
    scores = np.tile(SCORES[0], (10, 1))
    assert category(scores, labels, minimum=10, each_class=False).count == 10
    assert category(scores[1:], labels[1:], minimum=10, each_class=False).withheld
    assert category(np.empty((0, 3)), np.empty(0), each_class=False).withheld


def test_text_reads_back_as_itself():
    said = category(SCORES, [0, 1, 1])
    assert from_json(to_json(said)) == said


@pytest.mark.parametrize("spoil", [{"correct": 4}, {"positives": [1, *[0] * 49]}])
def test_more_right_than_patients_and_bins_are_a_peers_fault(spoil):
    text = json.loads(to_json(category(SCORES, [0, 1, 1]))) | spoil
    with pytest.raises(PeerFault):
        from_json(json.dumps(text, sort_keys=True, separators=(",", ":")))


def test_kinds_do_not_pool():
    with pytest.raises(PeerFault):
        pooled([category(SCORES, [0, 1, 1]), Figures("binary", count=1)])
