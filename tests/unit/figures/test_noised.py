"""Figures with noise: what one patient adds, what is read back, and what is withheld or not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from governance import noised
from governance.agreement.load import load
from governance.figures import UNDER_MINIMUM, figures_of, pooled
from governance.noised import Noised, layout_of, noised_of, sum_of
from governance.privacy.mechanisms import Keystream
from protos.errors import PeerFault

VECTOR = Path(__file__).parents[2] / "vectors" / "agreement" / "heart-failure-europe.yaml"
BINARY = "{name: died_30d, kind: binary, prevalence: [0.01, 0.40]}"
REAL = "{name: died_30d, kind: real, unit: day, range: [0, 60], reference: {mean: 9, std: 3}}"
CATEGORY = "{name: died_30d, kind: category, values: [a, b, c]}"


@pytest.fixture
def terms(tmp_path):
    """Return a maker of the design's agreement with noised figures of a target."""

    def make(target=BINARY, epsilon=8.0, minimum=10):
        text = VECTOR.read_text().replace(BINARY, target)
        exact, noise = (
            "{exact: {every: 1}, minimum: 10}",
            f"{{noised: {{epsilon_total: {epsilon}, every: 10}}, minimum: {minimum}}}",
        )
        assert text.count(exact) == 1
        text = text.replace(exact, noise).replace("metric: auc", f"metric: {_METRIC[target]}")
        (tmp_path / "obligations.md").write_text("Each keeps its records at home.\n")
        path = tmp_path / "agreement.yaml"
        path.write_text("\n".join(x for x in text.splitlines() if "stop: {" not in x) + "\n")
        return load(path).agreement

    return make


_METRIC = {BINARY: "auc", REAL: "rmse", CATEGORY: "accuracy"}


def patients(kind="binary", count=4000, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "real":
        labels = rng.normal(9, 3, count)
        return labels + rng.normal(0, 2, count), labels
    if kind == "category":
        labels = rng.integers(0, 3, count)
        scores = rng.dirichlet([1, 1, 1], count)
        scores[np.arange(count), labels] += 0.5
        return scores / scores.sum(axis=1, keepdims=True), labels
    labels = rng.random(count) < 0.3
    return 1 / (1 + np.exp(-rng.normal(labels * 1.5 - 1.6, 1.2))), labels.astype(float)


def silence(count):
    return np.zeros(count)


def stream(key):
    return Keystream(bytes([key]) * 32).gaussian


TARGETS = pytest.mark.parametrize(
    ("kind", "target"), [("binary", BINARY), ("real", REAL), ("category", CATEGORY)]
)


@TARGETS
def test_one_patient_adds_no_more_than_the_sensitivity(terms, kind, target):
    layout = layout_of(terms(target))
    scores, labels = patients(kind, 500)
    scores[:3] = [[1, 0, 0]] * 3 if kind == "category" else 1e9  # as wrong as can be
    norms = [
        float(np.linalg.norm(sum_of(scores[i : i + 1], labels[i : i + 1], layout)))
        for i in range(len(labels))
    ]
    assert max(norms) <= layout.sensitivity * (1 + 1e-12)
    # and the bound is no looser than a patient can be
    assert max(norms) > 0.9 * layout.sensitivity


@TARGETS
def test_without_noise_the_figures_are_the_exact_ones(terms, kind, target):
    agreement = terms(target)
    scores, labels = patients(kind)
    said = noised_of(scores, labels, agreement, silence)
    read = noised.figures_of(said, layout_of(agreement))
    exact = figures_of(scores, labels, kind=kind, minimum=10)
    for metric in ("accuracy", "brier", "log-loss", "rmse"):
        if exact.metric(metric) is None:
            assert read.metric(metric) is None
        else:
            assert read.metric(metric) == pytest.approx(exact.metric(metric), rel=0.02)
    if kind == "binary":
        assert read.auc() == pytest.approx(exact.auc(), abs=0.01)
        assert read.accuracy() == exact.accuracy()


def test_every_number_gets_noise_of_the_deviation_that_it_states(terms):
    agreement = terms(epsilon=2.0)
    scores, labels = patients()
    clean = noised_of(scores, labels, agreement, silence).values
    noise = [
        np.subtract(noised_of(scores, labels, agreement, stream(key)).values, clean)
        for key in range(120)
    ]
    said = float(noised_of(scores, labels, agreement, silence).deviation)
    assert np.std(noise) / noised.GRID == pytest.approx(said, rel=0.03)
    assert abs(np.mean(noise)) < 4 * np.std(noise) / np.sqrt(np.size(noise))


def test_two_evaluations_of_the_same_model_differ(terms):
    agreement = terms()
    first, second = (noised_of(*patients(), agreement, stream(key)) for key in (1, 2))
    assert first.values != second.values


@pytest.mark.parametrize("few", [0, 3, 9])
@pytest.mark.slow
def test_a_class_under_the_minimum_is_withheld_with_all_numbers(terms, few):
    agreement = terms(epsilon=50.0)
    scores, labels = patients()
    keep = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:few]])
    said = noised_of(scores[keep], labels[keep], agreement, stream(7))
    assert (said.withheld, said.values) == (UNDER_MINIMUM, ())
    assert json.loads(noised.to_json(said))["values"] == []


def test_a_large_class_is_said_whatever_the_noise(terms):
    agreement = terms(epsilon=50.0)
    assert all(not noised_of(*patients(), agreement, stream(key)).withheld for key in range(20))


def test_a_score_that_is_no_number_counts_as_none_and_tells_of_nobody(terms):
    agreement = terms()
    scores, labels = patients()
    before = noised_of(scores, labels, agreement, silence)
    scores[0] = np.nan
    after = noised_of(scores, labels, agreement, silence)
    assert not after.withheld
    moved = np.linalg.norm(np.subtract(after.values, before.values)) / noised.GRID
    assert moved <= 2 * layout_of(agreement).sensitivity


def test_the_noised_figures_of_hospitals_pool_as_sums(terms):
    agreement = terms()
    layout = layout_of(agreement)
    said = [noised_of(*patients(seed=n), agreement, stream(n)) for n in range(3)]
    together = Noised(
        "binary",
        said[0].deviation,
        tuple(map(sum, zip(*(x.values for x in said), strict=True))),
    )
    apart = pooled(noised.figures_of(one, layout) for one in said)
    whole = noised.figures_of(together, layout)
    assert apart.auc() == pytest.approx(whole.auc(), abs=2e-3)
    assert apart.log_loss() == pytest.approx(whole.log_loss(), rel=2e-3)


def test_counts_that_noise_took_below_zero_have_no_figures(terms):
    agreement = terms()
    layout = layout_of(agreement)
    said = noised.figures_of(Noised("binary", "1", (-16,) * layout.length), layout)
    assert [said.metric(name) for name in ("auc", "accuracy", "brier")] == [None] * 3


def test_score_bins_lie_around_the_agreements_prevalence_with_an_edge_at_one_half(terms):
    layout = layout_of(terms())
    middle = np.log(0.205 / 0.795)
    assert 0.0 in layout.edges
    assert min(layout.edges) < middle - 2 < middle + 2 < max(layout.edges)


def spoiled(**fields):
    def spoil(said):
        return json.dumps(json.loads(said) | fields, sort_keys=True, separators=(",", ":"))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (spoiled(noise="0.001"), "noise"),
        (spoiled(kind="real"), "kind"),
        (spoiled(kind="none"), "kind"),
        (spoiled(values=[1, 2]), "layout"),
        (spoiled(values=[1.5]), "cannot be"),
        (spoiled(values=[True]), "cannot be"),
        (spoiled(values=[1 << 60]), "cannot be"),
        (spoiled(withheld=UNDER_MINIMUM), "layout"),
        (spoiled(withheld="because", values=[]), "withheld"),
        (spoiled(extra=1), "fields"),
        (lambda said: said.replace(",", ", "), "one form"),
        (lambda said: said[:-1], "JSON"),
        (lambda _: '{"noise":' * 4000, "too long"),
    ],
)
def test_figures_that_are_not_the_agreements_are_refused(terms, spoil, what):
    agreement = terms()
    text = noised.to_json(noised_of(*patients(), agreement, stream(1)))
    assert noised.from_json(text, agreement).values
    with pytest.raises(PeerFault, match=what) as refused:
        noised.from_json(spoil(text), agreement)
    assert refused.value.rule == "bad-figures"


def test_exact_figures_are_refused_where_noise_was_agreed(terms):
    from governance.figures import to_json

    agreement = terms()
    exact = figures_of(*patients(), kind="binary", minimum=10)
    with pytest.raises(PeerFault):
        noised.read(to_json(exact), agreement)
