"""Figures of quality: by hand, against scikit-learn, pooled, withheld, and as text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from governance import figures
from governance.figures import BINS, Figures, figures_of, from_json, pooled, to_json
from protos.errors import PeerFault


def bins(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"b{i}", 0) for i in range(BINS))


def binary(scores, labels, minimum=1) -> Figures:
    return figures_of(np.array(scores), np.array(labels), kind="binary", minimum=minimum)


def patients(seed: int, count: int = 400):
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    return 1 / (1 + np.exp(-rng.normal(labels * 2.0 - 1.5, 1.5))), labels.astype(int)


def test_auc_by_hand_with_ties_counting_half():
    # Pairs: 0.9 beats both; 0.6 ties with 0.6 and beats 0.1: (1 + 1 + 0.5 + 1) / 4.
    assert binary([0.9, 0.6, 0.6, 0.1], [1, 1, 0, 0]).auc() == 3.5 / 4


def test_auc_of_a_perfect_an_inverted_and_a_constant_model():
    assert binary([0.9, 0.1], [1, 0]).auc() == 1
    assert binary([0.1, 0.9], [1, 0]).auc() == 0
    assert binary([0.3, 0.3, 0.3], [1, 0, 0]).auc() == 0.5


def test_accuracy_log_loss_and_brier_by_hand():
    said = binary([0.8, 0.4, 0.5], [1, 0, 1])
    assert said.accuracy() == 2 / 3  # 0.5 is not above 0.5
    assert said.log_loss() == pytest.approx(-(np.log(0.8) + np.log(0.6) + np.log(0.5)) / 3)
    assert said.brier() == pytest.approx((0.04 + 0.16 + 0.25) / 3)
    assert said.rmse() is None


def test_rmse_by_hand():
    said = figures_of(np.array([1.0, 5.0]), np.array([4.0, 1.0]), kind="real", minimum=2)
    assert said.rmse() == pytest.approx(np.sqrt(12.5))
    assert said.count == 2
    assert [said.metric(name) for name in ("auc", "accuracy", "log-loss", "brier")] == [
        None
    ] * 4


@pytest.mark.parametrize("seed", range(5))
def test_figures_agree_with_scikit_learn(seed):
    scores, labels = patients(seed)
    said = binary(scores, labels)
    binned = np.searchsorted(figures._EDGES, scores, side="right")
    assert said.auc() == pytest.approx(metrics.roc_auc_score(labels, binned), abs=1e-12)
    assert said.auc() == pytest.approx(metrics.roc_auc_score(labels, scores), abs=0.005)
    assert said.log_loss() == pytest.approx(metrics.log_loss(labels, scores))
    assert said.brier() == pytest.approx(metrics.brier_score_loss(labels, scores))
    assert said.accuracy() == metrics.accuracy_score(labels, scores > 0.5)


def test_auc_of_a_rare_outcome_agrees_with_scikit_learn():
    rng = np.random.default_rng(7)
    labels = rng.random(20_000) < 0.01
    scores = 1 / (1 + np.exp(-rng.normal(labels * 1.5 - 5.0, 0.7)))  # all of them below 0.2
    said = binary(scores, labels)
    assert said.auc() == pytest.approx(metrics.roc_auc_score(labels, scores), abs=0.005)


def test_pooled_figures_are_those_of_all_patients_together():
    parts = [patients(seed, 50 + seed * 30) for seed in range(4)]
    together = binary(
        np.concatenate([scores for scores, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
    )
    pool = pooled(binary(scores, labels) for scores, labels in parts)
    assert pool.positives == together.positives
    assert (pool.auc(), pool.accuracy()) == (together.auc(), together.accuracy())
    assert pool.log_loss() == pytest.approx(together.log_loss())


def test_pooling_leaves_out_withheld_figures():
    said = binary([0.9, 0.1], [1, 0])
    assert pooled([said, Figures("binary", withheld="under-minimum")]) == said


def test_pool_of_nothing_has_no_figures():
    withheld = Figures("binary", withheld="under-minimum")
    assert pooled([withheld]).withheld == "no-figures"
    assert pooled([]).withheld == "no-figures"
    assert pooled([]).auc() is None


def test_pooling_different_targets_is_refused():
    with pytest.raises(PeerFault):
        pooled([Figures("binary", count=1), Figures("real", count=1)])


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
def test_figures_are_withheld_when_either_class_is_under_the_minimum(labels):
    said = binary([0.1, 0.2, 0.3, 0.4], labels, minimum=2)
    assert said == Figures("binary", withheld="under-minimum")


def test_figures_are_said_at_the_minimum():
    assert not binary([0.1, 0.2, 0.3, 0.4], [1, 0, 1, 0], minimum=2).withheld


def test_real_figures_are_withheld_under_the_minimum():
    said = figures_of(np.array([1.0]), np.array([1.0]), kind="real", minimum=2)
    assert said == Figures("real", withheld="under-minimum")


@pytest.mark.parametrize("kind", ["binary", "real"])
def test_scores_that_are_not_finite_are_said_so(kind):
    said = figures_of(np.array([np.nan, 0.5]), np.array([0, 1]), kind=kind, minimum=1)
    assert said == Figures(kind, withheld="not-finite")


def test_errors_too_large_to_square_are_said_so():
    said = figures_of(np.array([1e200]), np.array([0.0]), kind="real", minimum=1)
    assert said.withheld == "not-finite"


def test_a_sure_and_wrong_score_has_a_finite_log_loss():
    assert binary([0.0, 1.0], [1, 0]).log_loss() == pytest.approx(-np.log(1e-7))


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    data=st.data(),
    kind=st.sampled_from(["binary", "real"]),
    minimum=st.integers(0, 3),
)
def test_text_and_figures_are_the_same(scores, data, kind, minimum):
    labels = data.draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    said = figures_of(np.array(scores), np.array(labels), kind=kind, minimum=minimum)
    assert from_json(to_json(said)) == said


GOOD = json.loads(to_json(binary([0.9, 0.1, 0.2], [1, 0, 0])))
HOSTILE = {
    "no map": [],
    "field missing": {name: value for name, value in GOOD.items() if name != "count"},
    "field more": GOOD | {"x": 1},
    "kind unknown": GOOD | {"kind": "text"},
    "kind a list": GOOD | {"kind": []},
    "reason unknown": GOOD | {"withheld": "because"},
    "reason a list": GOOD | {"withheld": []},
    "withheld and said": GOOD | {"withheld": "under-minimum"},
    "histogram short": GOOD | {"positives": GOOD["positives"][1:]},
    "histogram no list": GOOD | {"positives": "0" * BINS},
    "histogram negative": GOOD | {"positives": [-1, 2] + [0] * (BINS - 2)},
    "histogram true": GOOD | {"positives": [True] + [0] * (BINS - 1)},
    "counts disagree": GOOD | {"count": 4},
    "more right than patients": GOOD | {"correct": 4},
    "count huge": GOOD | {"count": 1 << 60},
    "sum a number": GOOD | {"log_loss_sum": 1.0},
    "sum no decimal": GOOD | {"log_loss_sum": "one"},
    "sum NaN": GOOD | {"log_loss_sum": "nan"},
    "sum infinite": GOOD | {"squared_error_sum": "inf"},
    "sum negative": GOOD | {"squared_error_sum": "-1.0"},
    "sum in another form": GOOD | {"squared_error_sum": "1"},
    "sum long": GOOD | {"squared_error_sum": "1" * 40},
    "of nobody": GOOD
    | {"count": 0, "positives": [0] * BINS, "negatives": [0] * BINS, "correct": 0},
    "real with histograms": GOOD | {"kind": "real"},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_figures_are_a_fault_of_the_peer(case):
    with pytest.raises(PeerFault) as caught:
        from_json(json.dumps(HOSTILE[case], sort_keys=True, separators=(",", ":")))
    assert caught.value.rule == "bad-figures"


def test_the_hostile_cases_start_from_good_ones():
    assert from_json(json.dumps(GOOD, sort_keys=True, separators=(",", ":"))).count == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 10_000, "NaN", "x" * 20_000, json.dumps(GOOD), to_json(pooled([])) + " "],
    ids=["empty", "broken", "deep", "NaN", "long", "with spaces", "trailing space"],
)
def test_text_of_another_form_is_a_fault_of_the_peer(text):
    with pytest.raises(PeerFault):
        from_json(text)
