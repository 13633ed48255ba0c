"""What each kind of target must say, may not say, and how it is told."""

from __future__ import annotations

import json
import math

import pytest

from governance.agreement.gate_error import gate_error, naive_figure
from governance.agreement.load import load, parse
from protos.errors import Refused

BINARY = "{name: died_30d, kind: binary, prevalence: [0.01, 0.40]}"
TRIAGE = "{name: triage, kind: category, values: [red, yellow, green]}"
AUC = "{metric: auc, not_worse_than: 0.05}"
ACCURACY = "{metric: accuracy, not_worse_than: 0.05}"
STOP = "stop: {metric: auc, reached: 0.92, patience: 2}"
STOP_BY_ACCURACY = "stop: {metric: accuracy, reached: 0.92, patience: 2}"


@pytest.fixture
def category(changed):
    """Return a writer of the design's agreement with a category as its target."""

    def write(target=TRIAGE, gate=ACCURACY):
        return changed((BINARY, target), (AUC, gate), (STOP, STOP_BY_ACCURACY))

    return write


def test_a_category_reads_back_as_itself_and_sets_the_models_outputs(category):
    document = load(category())
    assert parse(document.raw) == document
    assert document.agreement.data.target.values == ("red", "yellow", "green")
    assert document.agreement.output_width == 3


def test_other_targets_are_written_as_they_always_were(agreement_file):
    target = json.loads(load(agreement_file).raw)["agreement"]["data"]["target"]
    assert set(target) == {"name", "kind", "prevalence"}
    assert load(agreement_file).agreement.output_width == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{name: t, kind: category}", "values is missing, but a category target must have it"),
        ("{name: t, kind: category, values: [a]}", "must be a list of at least 2"),
        ("{name: t, kind: category, values: [a, a]}", "a list without repetition"),
        (
            "{name: t, kind: category, values: [a, b], prevalence: [0, 1]}",
            "prevalence does not belong to a category target",
        ),
        (
            "{name: t, kind: binary, prevalence: [0, 1], values: [a, b]}",
            "values does not belong to a binary target",
        ),
        ("{name: t, kind: class, values: [a, b]}", "must be binary, real or category"),
    ],
)
def test_what_a_target_lacks_or_may_not_have_is_said(category, target, said):
    with pytest.raises(Refused) as caught:
        load(category(target))
    assert said in str(caught.value)


def test_more_than_a_hundred_values_are_refused(category):
    values = ", ".join(f"v{number}" for number in range(101))
    with pytest.raises(Refused, match="at most 100"):
        load(category(f"{{name: t, kind: category, values: [{values}]}}"))


def test_the_gate_of_a_category_is_accuracy_or_log_loss_and_never_auc(category):
    with pytest.raises(Refused, match="must be one of accuracy, log-loss"):
        load(category(gate=AUC))


def test_the_order_of_values_is_material(category):
    first = load(category()).material
    assert load(category(TRIAGE.replace("red, yellow", "yellow, red"))).material != first


def test_error_of_an_accuracy_and_a_guess_without_prevalence(category):
    agreement = load(category()).agreement
    assert gate_error(agreement, "accuracy").standard_error == 0.5 / math.sqrt(4 * 2000 * 0.2)
    assert naive_figure(agreement, "accuracy") == pytest.approx(1 / 3)
    assert naive_figure(agreement, "log-loss") == pytest.approx(math.log(3))
